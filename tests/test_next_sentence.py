"""The measurement of pairs: each part on a case whose answer is known."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from scaling.errors import SweepError
from scaling.evaluate.gradient_cosine import gradient_cosines
from scaling.evaluate.measurement import Trained
from scaling.evaluate.next_sentence import MEASUREMENT, NextSentence
from scaling.evaluate.pair_baselines import (
    overlap_accuracy,
    probe_accuracy,
    texts_of,
    threshold_accuracy,
)
from scaling.evaluate.pair_tasks import TASKS, answers, features, task_pairs
from scaling.grammar.pairs import pair_accuracy
from scaling.grammar.rules import GrammarKnobs, make_grammar
from scaling.models import build_model
from scaling.objectives import OBJECTIVES, Batch, Term, Terms
from scaling.text import load_text
from scaling.text_of_run import text_of
from tests.factories import make_spec

PLACE = "depth=1,symbols=6,rules=2,sentences=4,topics=2,documents=3000,validation_documents=2000"
CORPUS = f"grammar:{PLACE}"
TOPICS = {"sea": "wave boat fish salt", "hill": "rock snow goat pine"}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


def trained_on(corpus: str, root: Path, **changes: object) -> Trained:
    """An untrained model, ready to be measured: what is tested here holds of any weights."""
    text = load_text(corpus=corpus, tokenizer="bytes", vocab_size=None, cache=root / "cache")
    values = {"arch": "encoder-pairs", "objective": "mlm+nsp", "pair_cut": "sentence"}
    spec = make_spec(
        corpus=corpus, corpus_fingerprint=text.corpus_fingerprint,
        tokenizer_fingerprint=text.tokenizer.fingerprint, **{**values, **changes},
    )  # fmt: skip
    return Trained(spec=spec, model=build_model(spec).eval(), device=torch.device("cpu"), root=root)


@pytest.fixture(scope="module")
def generated(root: Path) -> Trained:
    horizons = {"batch_tokens": 64, "train_tokens": 640, "warmup_tokens": 0, "cooldown_tokens": 0}
    return trained_on(CORPUS, root, seq_len=8, corruption="mask", **horizons)


@pytest.fixture(scope="module")
def written(root: Path) -> Trained:
    """Documents about one of two things, in whose words each sentence is written."""
    rng = np.random.default_rng(0)
    folder = root / "written"
    folder.mkdir()
    for split, n_documents in (("train", 60), ("validation", 40)):
        lines = []
        for number in range(n_documents):
            words = list(TOPICS.values())[number % 2].split()
            sentences = [" ".join(rng.permutation(words)[:3]) + "." for _ in range(12)]
            lines.append('{"text": "' + " ".join(sentences) + '"}\n')
        (folder / f"{split}.jsonl").write_text("".join(lines), encoding="utf-8")
    return trained_on(f"files:{folder}", root, seq_len=64, batch_tokens=512)


def test_word_overlap_tells_topics_and_no_order(written: Trained) -> None:
    """Three of four words of one topic always overlap, those of two topics never."""
    expected = {"nsp": 0.75, "nsp_same_document": 0.5, "sop": 0.5}
    for task, accuracy in expected.items():
        fitting = task_pairs(written, task, 400, for_fitting=True)
        judged = task_pairs(written, task, 400)
        found = overlap_accuracy(fitting, judged, written.text.tokenizer, by_characters=False)
        for name in ("tfidf", "unigram_overlap"):
            # Half of the documents share the topic of any other: those pairs are guessed.
            assert found[name].value == pytest.approx(accuracy, abs=4 * 0.5 / 400**0.5), name


def test_the_texts_of_a_pair_are_its_segments(written: Trained) -> None:
    pairs = task_pairs(written, "nsp", 20)
    first, second = texts_of(pairs, written.text.tokenizer)
    for row, (a, b) in enumerate(zip(first, second, strict=True)):
        ids = pairs.ids_BT[row][pairs.valid_BT[row]].tolist()
        encode = written.text.tokenizer.encode
        assert ids == [1, *encode(a).tolist(), 2, *encode(b).tolist(), 2]


def test_the_threshold_is_the_best_one_of_the_fitting_pairs() -> None:
    fit = np.array([0.1, 0.2, 0.2, 0.4, 0.5, 0.9])
    labels = np.array([False, False, False, True, False, True])
    # Over 0.3: right on all but 0.5; no other threshold has more than four of six.
    found = threshold_accuracy(
        fit, labels, np.array([0.29, 0.31, 0.31, 5.0]), np.array([1, 1, 0, 1]) > 0
    )
    assert found.value == 0.5
    assert found.standard_error == pytest.approx(np.std([0, 1, 0, 1], ddof=1) / 2)
    all_next = threshold_accuracy(
        np.zeros(5), np.ones(5, bool), np.array([-9.0, 9.0]), np.ones(2, bool)
    )
    assert all_next.value == 1.0


def test_a_probe_reads_what_a_straight_line_divides() -> None:
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(600, 5))
    labels = inputs @ np.array([1.0, -2.0, 0.5, 0.0, 3.0]) > 0
    assert probe_accuracy(inputs[:400], labels[:400], inputs[400:], labels[400:]).value > 0.95
    shuffled = rng.permutation(labels)
    guessed = probe_accuracy(inputs[:400], shuffled[:400], inputs[400:], shuffled[400:])
    assert guessed.value == pytest.approx(0.5, abs=4 * 0.5 / 200**0.5)


def test_a_head_that_always_says_next_is_right_half_of_the_time(generated: Trained) -> None:
    model = build_model(generated.spec).eval().requires_grad_(False)
    model.pair_head.weight.zero_()
    model.pair_head.bias.copy_(torch.tensor([math.log(3), 0.0]))
    trained = Trained(
        spec=generated.spec, model=model, device=torch.device("cpu"), root=generated.root
    )
    found = answers(trained, task_pairs(generated, "sop", 100))
    assert (found["accuracy"], found["says_next_share"]) == (0.5, 1.0)
    assert found["nats_per_pair"] == pytest.approx(-(math.log(3 / 4) + math.log(1 / 4)) / 2)


def test_features_are_the_first_state_and_the_means_of_the_segments(generated: Trained) -> None:
    pairs = task_pairs(generated, "nsp", 70)
    found = features(generated, pairs)
    ids, segments = torch.from_numpy(pairs.ids_BT), torch.from_numpy(pairs.segment_ids_BT)
    with torch.no_grad():
        hidden = generated.model(ids, segments, torch.from_numpy(pairs.valid_BT)).numpy()
    a, b = hidden[:, 1:3].mean(axis=1), hidden[:, 4:6].mean(axis=1)
    assert np.allclose(found["cls"], hidden[:, 0], atol=1e-6)
    assert np.allclose(found["mean"], np.concatenate([a, b, a * b, abs(a - b)], 1), atol=1e-6)


class TwoLosses:
    """Losses whose gradients are known: `one` pulls along (1, 1), `other` along (1, 0)."""

    def nll(self, model: torch.nn.Module, batch: Batch) -> Terms:
        weight = model.part.weight.reshape(-1)
        return {"one": Term(3 * weight.sum(), 3), "other": Term(weight[0] * 4, 2)}


def test_the_cosine_of_two_gradients_by_hand(generated: Trained) -> None:
    model = torch.nn.Module()
    model.part = torch.nn.Linear(2, 1, bias=False)
    model.unused = torch.nn.Linear(2, 1)
    batch = OBJECTIVES["nsp"].training_batch(generated.text, generated.spec, 0)
    found = gradient_cosines(model, TwoLosses(), [batch, batch], "one", "other")  # type: ignore[arg-type]
    assert found.keys() == {"all", "part"}
    assert found["all"]["cosine"] == pytest.approx(1 / math.sqrt(2))
    assert found["all"]["norm_ratio"] == pytest.approx(2 / math.sqrt(2))
    assert found["all"]["standard_deviation"] == pytest.approx(0, abs=1e-12)
    assert model.part.weight.grad is None, "the model is left as it was"


def test_the_measurement_of_a_generated_language(generated: Trained) -> None:
    options = NextSentence(pairs=2000, fitting_pairs=300, gradient_batches=2)
    values = MEASUREMENT.measure(generated, options, lambda done, total: None)
    assert values["missing"] == {}
    assert values["tasks"].keys() == TASKS.keys()
    grammar = make_grammar(GrammarKnobs.parse(PLACE))
    for task, negatives in TASKS.items():
        best = values["tasks"][task]["optimum"]
        expected = pair_accuracy(grammar, negatives)
        error = math.hypot(expected.standard_error, best["accuracy_standard_error"])
        assert best["accuracy"] == pytest.approx(expected.value, abs=4 * error)
        if expected.topic_only is not None:
            assert best["topic_accuracy"] == pytest.approx(expected.topic_only, abs=4 * error)
        assert values["tasks"][task]["head"]["accuracy"] <= best["accuracy"] + 5 * error
    groups = values["gradients"]["groups"]
    assert {"all", "blocks", "token_embedding"} <= groups.keys()
    assert "pooler" not in groups
    assert all(-1 <= group["cosine"] <= 1 for group in groups.values())


def test_what_an_arm_has_not_is_null_and_says_why(generated: Trained) -> None:
    spec = generated.spec.replace(objective="mlm", seq_len=16, batch_tokens=64)
    trained = Trained(
        spec=spec, model=build_model(spec).eval(), device=torch.device("cpu"), root=generated.root
    )
    options = NextSentence(pairs=50, fitting_pairs=50, gradient_batches=1)
    values = MEASUREMENT.measure(trained, options, lambda done, total: None)
    assert values["gradients"] is None
    assert values["tasks"]["nsp"]["head"] is None
    assert values["missing"]["tasks.sop.head"] == "objective mlm trains no pair head"
    assert values["missing"]["gradients"] == "objective mlm has one loss"
    assert "seq_len=16 is not that of two sentences" in values["missing"]["tasks.nsp.optimum"]
    assert values["tasks"]["sop"]["probe"].keys() == {"cls", "mean"}


def test_options_out_of_range() -> None:
    with pytest.raises(SweepError, match="next_sentence: pairs=1 is under 2"):
        NextSentence(pairs=1)


def test_the_text_of_a_run_has_its_sentences(generated: Trained) -> None:
    text = text_of(generated.spec, generated.cache)
    assert text.corpus == CORPUS
