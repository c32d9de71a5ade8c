"""The Bayes optimum of pairs: by the definition of a probability, and in a run end to end."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from scaling.evaluate.optimum import optimum
from scaling.grammar.inference import HIDDEN, inside
from scaling.grammar.pairs import Negatives, next_law, wrong_law
from scaling.grammar.rules import Grammar, GrammarKnobs, make_grammar
from scaling.objectives import OBJECTIVES, Batch
from scaling.objectives.objective import NO_TARGET
from scaling.spec import RunSpec
from scaling.text import Text, load_text
from scaling.tokenizer import MASK_ID
from scaling.train import run
from tests.factories import make_spec

PLACE = "depth=2,symbols=5,rules=3,sentences=4,topics=2"
CORPUS = f"grammar:{PLACE},documents=300,validation_documents=200"
GRAMMAR = make_grammar(GrammarKnobs.parse(PLACE))
ARMS = {
    "random": {"objective": "mlm+nsp"},
    "same_document": {"objective": "mlm+nsp", "negatives": "same_document"},
    "swapped": {"objective": "mlm+sop"},
}


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Text:
    cache = tmp_path_factory.mktemp("cache")
    return load_text(corpus=CORPUS, tokenizer="bytes", vocab_size=None, cache=cache)


def spec_of(text: Text, **changes: object) -> RunSpec:
    return make_spec(
        corpus=CORPUS, corpus_fingerprint=text.corpus_fingerprint, arch="bert",
        tokenizer_fingerprint=text.tokenizer.fingerprint, seq_len=11, batch_tokens=11 * 32,
        train_tokens=11 * 32 * 20, warmup_tokens=0, cooldown_tokens=0, eval_tokens=11 * 256,
        corruption="mask", pair_cut="sentence", mask_rate=0.4,
    ).replace(**changes)  # fmt: skip


def probability(grammar: Grammar, law_SS: np.ndarray, tokens_T: np.ndarray) -> float:
    """P(both sentences) by the sum over all pairs of roots."""
    up = inside(grammar, tokens_T[None])
    likelihood = np.exp(up.log_scale[0])[:, None] * up.roots_BMS[0]
    return float(likelihood[0] @ law_SS @ likelihood[1])


def sentences_seen(batch: Batch) -> np.ndarray:
    ids = batch.input_ids_BT.numpy()
    terminals = np.where(ids == MASK_ID, HIDDEN, ids - 4 - 0x21)
    return np.concatenate([terminals[:, 1:5], terminals[:, 6:10]], axis=1)


@pytest.mark.parametrize("negatives", ARMS)
def test_the_optimum_of_a_batch_follows_from_the_probabilities_of_pairs(
    negatives: Negatives, text: Text
) -> None:
    spec = spec_of(text, **ARMS[negatives])
    found, why = optimum(spec)
    term = "sop" if negatives == "swapped" else "nsp"
    assert set(found) == {"mlm", term}, why
    batch = OBJECTIVES[spec.objective].training_batch(text, spec, 0)
    right, wrong = next_law(GRAMMAR), wrong_law(GRAMMAR, negatives)
    label_nats = token_nats = 0.0
    index = batch.target_index_M.numpy()[batch.target_ids_M.numpy() != NO_TARGET]
    ids = batch.target_ids_M.numpy()[batch.target_ids_M.numpy() != NO_TARGET]
    assert batch.is_next_B is not None
    for row, seen in enumerate(sentences_seen(batch)):
        p_right, p_wrong = (probability(GRAMMAR, law, seen) for law in (right, wrong))
        label = p_right if batch.is_next_B[row] else p_wrong
        label_nats -= np.log(label / (p_right + p_wrong))
        for place, target in zip(index, ids, strict=True):
            if place // 11 == row:
                at = place % 11
                whole = seen.copy()
                whole[at - 1 if at < 5 else at - 2] = target - 4 - 0x21
                joint = sum(probability(GRAMMAR, law, whole) for law in (right, wrong))
                token_nats -= np.log(joint / (p_right + p_wrong))
    assert found[term](batch) == pytest.approx(label_nats, rel=1e-9)
    assert found["mlm"](batch) == pytest.approx(token_nats, rel=1e-9)


@pytest.mark.parametrize("negatives", ARMS)
def test_pairs_are_drawn_from_the_law_that_the_optimum_knows(
    negatives: Negatives, tmp_path: Path
) -> None:
    """With one rule per symbol a sentence is its root, so the law can be counted."""
    place = "depth=1,symbols=4,rules=1,sentences=4,topics=2"
    grammar = make_grammar(GrammarKnobs.parse(place))
    corpus = f"grammar:{place},documents=20000"
    text = load_text(corpus=corpus, tokenizer="bytes", vocab_size=None, cache=tmp_path)
    spec = spec_of(
        text, **ARMS[negatives], corpus=corpus, seq_len=8, batch_tokens=8 * 40_000,
        train_tokens=8 * 40_000, corpus_fingerprint="drawn here",
    )  # fmt: skip
    drawn = OBJECTIVES[spec.objective].training_batch(text, spec.replace(mask_rate=1e-9), 0)
    roots = {tuple(children): root for root, (children,) in enumerate(grammar.children[0].tolist())}
    flat = drawn.input_ids_BT.reshape(-1).numpy().copy()
    flat[drawn.target_index_M] = drawn.target_ids_M
    ids = flat.reshape(-1, 8) - 4 - 0x21
    assert drawn.is_next_B is not None
    for label, law in ((True, next_law(grammar)), (False, wrong_law(grammar, negatives))):
        rows = ids[drawn.is_next_B.numpy() == label]
        counts = np.zeros((4, 4))
        for row in rows:
            counts[roots[tuple(row[1:3])], roots[tuple(row[4:6])]] += 1
        # Documents are used several times each, which widens the error of a count.
        for a, b in itertools.product(range(4), range(4)):
            error = np.sqrt(law[a, b] * (1 - law[a, b]) / len(rows))
            assert counts[a, b] / len(rows) == pytest.approx(law[a, b], abs=6 * error)


def test_a_run_records_the_accuracy_and_the_optimum_of_its_pairs(
    text: Text, tmp_path: Path
) -> None:
    spec = spec_of(text, objective="nsp")
    record = run(spec, text=text, folder=tmp_path)
    loss = record.losses["nsp"]
    assert loss.targets == 256
    assert loss.accuracy is not None
    assert (loss.accuracy * 256) % 1 == 0
    optimal, _ = optimum(spec)
    batches = OBJECTIVES["nsp"].validation_batches(text, spec, 256)
    assert loss.optimal_nats_per_target == pytest.approx(
        sum(map(optimal["nsp"], batches)) / 256, rel=1e-9
    )
    assert 0.3 < loss.optimal_nats_per_target < np.log(2)
    assert record.bits_per_byte is None
    assert record.missing["bits_per_byte"] == "the objective trains no token head"
    assert record.tokens_predicted == 0
    assert record.yardsticks == {"nsp": "nsp, cut at sentences"}
