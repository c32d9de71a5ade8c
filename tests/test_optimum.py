"""The Bayes optimum: entropies, bounds, pair accuracies, and what counts as a leak."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from scaling.batches import validation_windows
from scaling.evaluate.optimum import BeatsOptimumError, check_leak, optimum
from scaling.evaluate.validation import validation_losses
from scaling.grammar.inference import log_prob
from scaling.grammar.optimum import (
    hidden_token_nats,
    next_token_nats,
    pair_accuracy,
)
from scaling.grammar.rules import GrammarKnobs, make_grammar
from scaling.grammar.sampling import TRAIN, draw_documents
from scaling.models import build_model
from scaling.objectives import OBJECTIVES
from scaling.objectives.diffusion import any_order_batch
from scaling.record import TermLoss
from scaling.text import Text, load_text
from tests.factories import make_spec

CORPUS = (
    "grammar:depth=2,symbols=6,rules=3,sentences=3,topics=2,documents=400,validation_documents=64"
)
KNOBS = GrammarKnobs(depth=2, symbols=6, rules=3, sentences=3, topics=2)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Text:
    cache = tmp_path_factory.mktemp("cache")
    return load_text(corpus=CORPUS, tokenizer="bytes", vocab_size=None, cache=cache)


def spec_of(text: Text, **changes: object):  # type: ignore[no-untyped-def]
    values = {"corpus": CORPUS, "seq_len": KNOBS.document_tokens + 2, "vocab_size": 260}
    length = values["seq_len"]
    horizons = {"batch_tokens": 8 * length, "train_tokens": 80 * length, "warmup_tokens": 0}
    spec = make_spec(**values, **horizons, cooldown_tokens=16 * length, eval_tokens=64 * length)
    return spec.replace(
        corpus_fingerprint=text.corpus_fingerprint,
        tokenizer_fingerprint=text.tokenizer.fingerprint,
        **changes,
    )


def test_the_entropy_of_texts_is_that_of_their_rules_where_roots_are_certain() -> None:
    """With one symbol to start from only the rules are random: the entropy has a closed form."""
    knobs = GrammarKnobs(depth=3, symbols=5, rules=4, zipf=0.7, sentences=1)
    grammar = make_grammar(knobs)
    certain = np.zeros_like(grammar.first_root)
    certain[:, 2] = 1.0
    grammar = replace(grammar, first_root=certain)
    documents = draw_documents(grammar, 4000, stream=TRAIN)
    nats = -log_prob(grammar, documents) / knobs.document_tokens
    error = nats.std() / math.sqrt(len(nats))
    assert nats.mean() == pytest.approx(grammar.entropy_nats_per_token(), abs=4 * error)


def test_the_any_order_bound_of_exact_conditionals_is_the_entropy() -> None:
    grammar = make_grammar(KNOBS)
    documents = draw_documents(grammar, 3000, stream=TRAIN)
    n = documents.shape[1]
    batch = any_order_batch(
        documents + 4, np.random.default_rng(0).random(3000).item, np.random.default_rng(1)
    )
    hidden = batch.input_ids_BT.numpy() == 3
    weights = n / hidden.sum(axis=1)
    estimates = hidden_token_nats(grammar, documents, hidden).sum(axis=1) * weights
    difference = estimates + log_prob(grammar, documents)
    error = difference.std() / math.sqrt(len(difference))
    assert abs(difference.mean()) < 4 * error
    assert error < 0.02 * estimates.mean()


def test_more_context_never_costs_more_on_average() -> None:
    grammar = make_grammar(KNOBS)
    documents = draw_documents(grammar, 500, stream=TRAIN)
    hidden = np.random.default_rng(0).random(documents.shape) < 0.3
    both_sides = hidden_token_nats(grammar, documents, hidden)[hidden]
    left = hidden_token_nats(grammar, documents, hidden, before_only=True)[hidden]
    all_left = next_token_nats(grammar, documents)[hidden]
    assert both_sides.mean() < all_left.mean() < left.mean()


@pytest.mark.parametrize("negatives", ["random", "same_document", "swapped"])
def test_pair_accuracy_equals_the_enumeration(negatives: str) -> None:
    """One rule per symbol makes a sentence its root: all pairs of roots can be written out."""
    knobs = GrammarKnobs(
        depth=1,
        symbols=6,
        rules=1,
        sentences=3,
        topics=2,
        seed=0,
        topic_concentration=2.0,
        chain_concentration=0.1,
    )
    grammar = make_grammar(knobs)
    roots = range(knobs.symbols)
    joint = np.zeros((6, 6, 6))
    for z in range(2):
        for a, b, c in itertools.product(roots, repeat=3):
            chain = grammar.next_root[z, a, b] * grammar.next_root[z, b, c]
            joint[a, b, c] += grammar.first_root[z, a] * chain / 2
    following = (joint.sum(axis=2) + joint.sum(axis=0)) / 2
    single = joint.sum(axis=(1, 2))
    # The one of three that neither is nor follows the first of the pair: the last one after the
    # first, and the first one after the second.
    elsewhere = (joint.sum(axis=1) + joint.sum(axis=2).T) / 2
    laws = {
        "random": np.outer(single, single),
        "same_document": elsewhere,
        "swapped": following.T,
    }
    truth = np.maximum(following, laws[negatives]).sum() / 2
    found = pair_accuracy(grammar, negatives, n_pairs=20_000)  # type: ignore[arg-type]
    assert found.value == pytest.approx(truth, abs=4 * found.standard_error)
    assert truth > 0.6


def test_topics_alone_tell_less_than_sentences() -> None:
    found = pair_accuracy(make_grammar(GrammarKnobs()), "random", n_pairs=4000)
    assert found.topic_only is not None
    assert 0.5 < found.topic_only < found.value


@pytest.mark.parametrize(
    ("arch", "objective"),
    [("decoder", "clm"), ("encoder", "mlm"), ("decoder", "mlm"), ("encoder", "diffusion")],
)
def test_the_optimum_of_a_batch_is_what_a_model_that_knows_the_grammar_gets(
    arch: str, objective: str, text: Text
) -> None:
    """An untrained model pays more than the optimum, and the optimum more than nothing."""
    spec = spec_of(text, arch=arch, objective=objective, corruption="mask")
    optimal, why = optimum(spec)
    assert optimal is not None, why
    torch.manual_seed(0)
    batches = OBJECTIVES[objective].validation_batches(text, spec, 64)
    losses = validation_losses(
        build_model(spec), OBJECTIVES[objective], batches, optimal_nats=optimal
    )
    loss = losses[objective]
    assert loss.optimal_nats_per_target is not None
    assert 0.05 < loss.optimal_nats_per_target < math.log(6) < loss.nats_per_target
    check_leak(losses)


def test_the_optimum_of_clm_is_the_entropy_of_the_validation_documents(text: Text) -> None:
    spec = spec_of(text)
    optimal, _ = optimum(spec)
    assert optimal is not None
    batches = OBJECTIVES["clm"].validation_batches(text, spec, 64)
    ids_BT = validation_windows(text.validation, seq_len=spec.seq_len, n_sequences=64)
    truth = -log_prob(make_grammar(KNOBS), ids_BT[:, 1:-1] - 4 - 0x21).sum()
    assert sum(map(optimal, batches)) == pytest.approx(truth, rel=1e-9)


def test_a_loss_under_the_optimum_is_a_leak() -> None:
    honest = TermLoss(
        nats_per_target=0.69,
        targets=100,
        standard_error=0.01,
        optimal_nats_per_target=0.7,
        excess_standard_error=0.004,
    )
    check_leak({"clm": honest})
    with pytest.raises(BeatsOptimumError, match=r"clm is 0\.6500 nats .* the model sees"):
        check_leak({"clm": replace(honest, nats_per_target=0.65)})


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"objective": "mlm", "arch": "encoder"}, "corruption='bert'"),
        ({"tokenizer": "bpe"}, "tokens of tokenizer='bpe'"),
        ({"corpus": "stdlib_text"}, ""),
        ({"objective": "mlm+nsp", "arch": "bert"}, "pairs are cut"),
    ],
)
def test_where_there_is_no_optimum_the_reason_is_given(
    changes: dict[str, str], why: str, text: Text
) -> None:
    found, reason = optimum(spec_of(text).replace(**changes))
    assert found is None
    assert reason.startswith(why)
    assert bool(reason) == bool(why)
