"""The Bayes optimum: entropies, bounds, pair accuracies, and what counts as a leak."""

import itertools
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scaling import outcome
from scaling.batches import validation_windows
from scaling.evaluate.optimum import BeatsOptimumError, check_leak, optimum
from scaling.grammar.inference import HIDDEN, log_prob
from scaling.grammar.optimum import hidden_token_nats, next_token_nats
from scaling.grammar.pairs import pair_accuracy
from scaling.grammar.rules import GrammarKnobs, make_grammar
from scaling.grammar.sampling import TRAIN, draw_documents
from scaling.objectives import OBJECTIVES, Batch
from scaling.objectives.diffusion import any_order_batch
from scaling.objectives.objective import NO_TARGET
from scaling.record import TermLoss
from scaling.text import Text, load_text
from scaling.tokenizer import MASK_ID
from scaling.train import run
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


def optimum_by_definition(batch: Batch, *, looks_back: bool) -> float:
    """Each target by the probabilities of two texts: what the model sees, with the target and
    without it."""
    shape = batch.input_ids_BT.shape
    counts_M = batch.target_ids_M.numpy() != NO_TARGET
    index_M, ids_M = batch.target_index_M.numpy()[counts_M], batch.target_ids_M.numpy()[counts_M]
    row_M, place_M = np.divmod(index_M, shape[1])
    seen_MT = batch.input_ids_BT.numpy()[row_M][:, 1:-1] - 4 - 0x21
    seen_MT[seen_MT == MASK_ID - 4 - 0x21] = HIDDEN
    # A masked token is asked for at its own place, the next one at the place before.
    is_masked = (batch.input_ids_BT.numpy().reshape(-1)[index_M] == MASK_ID).all()
    target_M = place_M - 1 if is_masked else place_M
    if looks_back:
        seen_MT[np.arange(shape[1] - 2) >= target_M[:, None]] = HIDDEN
    whole_MT = seen_MT.copy()
    whole_MT[np.arange(len(whole_MT)), target_M] = ids_M - 4 - 0x21
    grammar = make_grammar(KNOBS)
    nats_M = log_prob(grammar, seen_MT) - log_prob(grammar, whole_MT)
    if batch.target_weight_M is not None:
        nats_M = nats_M * batch.target_weight_M.numpy()[counts_M]
    return float(nats_M.sum())


@pytest.mark.parametrize(
    ("arch", "objective"),
    [
        ("decoder", "clm"),
        ("decoder", "prefix"),
        ("encoder", "mlm"),
        ("decoder", "mlm"),
        ("encoder", "diffusion"),
    ],
)
def test_the_optimum_of_a_batch_follows_from_the_probabilities_of_texts(
    arch: str, objective: str, text: Text
) -> None:
    spec = spec_of(text, arch=arch, objective=objective, corruption="mask", mask_rate=0.4)
    optimal, why = optimum(spec)
    assert list(optimal) == [objective], why
    batch = OBJECTIVES[objective].training_batch(text, spec, 0)
    expected = optimum_by_definition(batch, looks_back=arch == "decoder")
    # The weights of diffusion are in single precision.
    assert optimal[spec.objective](batch) == pytest.approx(expected, rel=1e-6)


def test_a_run_records_the_optimum_of_its_targets_and_how_many_there_were(
    text: Text, tmp_path: Path
) -> None:
    spec = spec_of(text, arch="encoder", objective="diffusion")
    record = run(spec, text=text, folder=tmp_path)
    loss = record.losses["diffusion"]
    assert loss.optimal_nats_per_target is not None
    optimal, _ = optimum(spec)
    batches = OBJECTIVES["diffusion"].validation_batches(text, spec, 64)
    nats = sum(map(optimal["diffusion"], batches)) / sum(batch.targets for batch in batches)
    assert loss.optimal_nats_per_target == pytest.approx(nats, rel=1e-9)
    steps = [OBJECTIVES["diffusion"].training_batch(text, spec, i) for i in range(spec.total_steps)]
    assert record.tokens_predicted == sum(len(batch.target_ids_M) for batch in steps)


def test_a_run_that_beats_the_optimum_fails(
    text: Text, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No model here can: the optimum is set above what an untrained one gets."""
    monkeypatch.setattr(
        outcome, "optimum", lambda spec: ({"clm": lambda batch: 9.0 * batch.targets}, "")
    )
    with pytest.raises(BeatsOptimumError, match=r"clm is .* under the Bayes optimum 9\.0000"):
        run(spec_of(text), text=text, folder=tmp_path)


def test_the_optimum_of_clm_is_the_entropy_of_the_validation_documents(text: Text) -> None:
    spec = spec_of(text)
    optimal, _ = optimum(spec)
    batches = OBJECTIVES["clm"].validation_batches(text, spec, 64)
    ids_BT = validation_windows(text.validation, seq_len=spec.seq_len, n_sequences=64)
    truth = -log_prob(make_grammar(KNOBS), ids_BT[:, 1:-1] - 4 - 0x21).sum()
    assert sum(map(optimal["clm"], batches)) == pytest.approx(truth, rel=1e-9)


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
        ({"objective": "mlm+nsp", "arch": "bert", "corruption": "mask"}, "pairs are cut"),
        (
            {"objective": "nsp", "arch": "bert", "corruption": "mask", "pair_cut": "sentence"}
            | {"seq_len": 23, "batch_tokens": 23, "train_tokens": 23, "cooldown_tokens": 0},
            "seq_len=23 is not that of two sentences of 4 tokens with [CLS] and two [SEP], which "
            "have 11 positions",
        ),
    ],
)
def test_where_there_is_no_optimum_the_reason_is_given(
    changes: dict[str, str], why: str, text: Text
) -> None:
    found, reason = optimum(spec_of(text).replace(**changes))
    assert found == {}
    assert reason.startswith(why)
    assert bool(reason) == bool(why)
