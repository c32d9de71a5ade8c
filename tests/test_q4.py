"""Question 4: each verdict on planted records whose answer is known."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from analysis.errors import AnalysisError
from analysis.questions.answer import Answer, write_answer
from analysis.questions.q4_next_sentence import answer
from analysis.questions.table import read_question_table
from scaling.arms import ARMS
from scaling.record import TermLoss
from scaling.spec import RunSpec
from tests import question_records
from tests.factories import make_record, make_spec

NAMES = ("mlm", "mlm-pairs", "mlm+nsp", "mlm+nsp-same", "mlm+sop", "nsp")
BITS = {"mlm": 2.0, "mlm-pairs": 2.1, "mlm+nsp": 2.3, "mlm+nsp-same": 2.1, "mlm+sop": 2.05}


def arm_of(spec: RunSpec) -> str:
    settled = {"arch", "objective", "negatives", "pair_cut"}
    mine = {name: getattr(spec, name) for name in settled}
    return next(
        name
        for name in NAMES
        if {"negatives": "random", "pair_cut": "anywhere"} | ARMS[name] == mine
    )


def planted_record(spec: RunSpec) -> Any:
    arm = arm_of(spec)
    nats = 3.0 + 0.1 * (arm == "mlm+nsp")
    losses = {} if arm == "nsp" else {"mlm": loss(nats)}
    bits = BITS.get(arm)
    return make_record(
        spec,
        yardsticks={"mlm": "mlm on pairs" if spec.pair_cut == "sentence" else "mlm"},
        losses=losses or {"nsp": loss(0.6)},
        bits_per_byte=None if bits is None else bits + 0.01 * spec.seed,
        bits_per_byte_kind="upper_bound",
        train_flops=1000.0 + 10.0 * (arm == "mlm+nsp"),
    )


def loss(nats: float) -> TermLoss:
    return TermLoss(nats_per_target=nats, targets=100, standard_error=0.01)


def planted_values(spec: RunSpec, given: Mapping[str, Any]) -> dict[str, Any]:
    """NSP is solved just as word overlap solves it; SOP-training teaches NSP, not the reverse."""
    arm = arm_of(spec)
    noise = 0.002 * (spec.seed - 1)
    is_untrained = given.get("weights") == "initial"
    heads = {
        "mlm+nsp": {"nsp": 0.8, "nsp_same_document": 0.5, "sop": 0.5},
        "mlm+sop": {"nsp": 0.7, "nsp_same_document": 0.6, "sop": 0.75},
    }
    tasks = {}
    for task in ("nsp", "nsp_same_document", "sop"):
        head = heads.get(arm, {}).get(task)
        tasks[task] = {
            "head": None if head is None else {"accuracy": head + noise},
            "tfidf": {"accuracy": 0.8},
            "unigram_overlap": {"accuracy": 0.7},
            "probe": {
                "cls": {"accuracy": 0.6 + noise},
                "mean": {"accuracy": 0.52 + noise if is_untrained else 0.65},
            },
            "optimum": {"accuracy": 0.85, "topic_accuracy": 0.75},
        }
    cosine = {"cosine": 0.02 + noise}
    has_two = arm.startswith("mlm+")
    return {"tasks": tasks, "gradients": {"groups": {"all": cosine}} if has_two else None}


@pytest.fixture
def found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Answer:
    return answer(read_question_table(study(tmp_path, monkeypatch)))


def study(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(question_records, "make_record", planted_record)
    runs = {
        make_spec(**ARMS[arm], seed=seed): {"arm": arm, "seed": seed}
        for arm in NAMES
        for seed in (0, 1, 2)
    }
    return question_records.write_study(
        folder / "q4", runs, "next_sentence", [{}, {"weights": "initial"}], planted_values
    )


def verdict(found: Answer, words: str) -> Any:
    (one,) = [one for one in found.verdicts if words in one.claim]
    return one


def test_a_model_no_better_than_overlap_establishes_nothing(found: Answer) -> None:
    one = verdict(found, "more than word overlap")
    assert not one.is_established
    assert one.n_seeds == 3
    assert one.estimate.value == pytest.approx(0.0, abs=1e-9)
    topics = verdict(found, "more than topics")
    assert topics.is_established
    assert topics.estimate.value == pytest.approx(0.05)


def test_the_format_and_the_loss_on_pairs_are_told_apart(found: Answer) -> None:
    shape = verdict(found, "the format of pairs makes MLM worse")
    assert shape.estimate.value == pytest.approx(0.1)
    nsp = verdict(found, "next-sentence prediction makes MLM worse")
    assert nsp.is_established
    assert nsp.estimate.value == pytest.approx(0.2)
    assert nsp.flips == ()
    sop = verdict(found, "sentence-order prediction makes MLM better")
    assert sop.estimate.value == pytest.approx(-0.05)
    # The loss on the pairs themselves says nothing of the kind.
    assert sop.flips == ("MLM loss on the same pairs",)


def test_transfer_is_measured_against_chance(found: Answer) -> None:
    assert not verdict(found, "nsp teaches sop").is_established
    back = verdict(found, "sop teaches nsp")
    assert back.is_established
    assert back.estimate.value == pytest.approx(0.2)


def test_the_better_probe_of_each_seed_is_what_training_must_beat(found: Answer) -> None:
    assert verdict(found, "what MLM alone does not").estimate.value == pytest.approx(0.15)
    gradients = verdict(found, "the same way")
    assert gradients.estimate.value == pytest.approx(0.02)
    assert gradients.is_established


def test_tables_and_figures_hold_every_arm_and_equal_records_give_equal_bytes(
    found: Answer, tmp_path: Path
) -> None:
    heads = found.tables["q4_accuracy"].query("reading == 'head'")
    assert set(heads["arm"]) == {"mlm+nsp", "mlm+sop"}  # an untrained head answers nothing
    bits = found.tables["q4_losses"].query("reading == 'bits_per_byte'")
    assert set(bits["arm"]) == set(NAMES) - {"nsp"}
    assert set(found.figures) == {"q4_cross_matrix", "q4_bits_per_byte", "q4_optimum"}
    one, other = (write_answer(found, tmp_path / name) for name in ("a", "b"))
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in other]


def test_two_corpora_are_no_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = read_question_table(study(tmp_path, monkeypatch))
    run_id, run = next(iter(table.runs.items()))
    other = {**run, "spec": {**run["spec"], "corpus_fingerprint": "another"}}
    mixed = dataclasses.replace(table, runs={**table.runs, run_id: other})
    with pytest.raises(AnalysisError, match="runs on 2 corpora"):
        answer(mixed)


def test_one_way_of_reading_is_compared_with_and_without_training_on_pairs(found: Answer) -> None:
    one = verdict(found, "adds what a probe on means reads")
    assert not one.is_established
    assert one.estimate.value == pytest.approx(0.0)


def test_what_depends_on_no_seed_has_no_interval_over_seeds(found: Answer) -> None:
    rows = found.tables["q4_accuracy"].set_index("reading")
    assert rows.loc[["tfidf", "unigram_overlap", "optimum"], ["low", "high"]].isna().all(axis=None)
    assert (rows.loc["head", "high"] > rows.loc["head", "low"]).all()


def test_what_an_untrained_model_tells_the_probe_stands_beside(found: Answer) -> None:
    control = verdict(found, "more than an untrained model tells it")
    assert control.is_established
    assert control.estimate.value == pytest.approx(0.65 - 0.52)
    probes = found.tables["q4_accuracy"].query("reading == 'probe_mean' and task == 'nsp'")
    by_arm = probes.set_index("arm")["mean"]
    assert by_arm["mlm"] == pytest.approx(0.65)
    assert by_arm["mlm, untrained"] == pytest.approx(0.52)


def test_a_head_that_learned_nothing_is_named(found: Answer) -> None:
    assert verdict(found, "mlm+nsp tells next sentences").is_established
    # No head, no verdict.
    assert "mlm+nsp-same" not in {one.claim.split()[0] for one in found.verdicts}
    order = verdict(found, "mlm+sop tells the order")
    assert order.estimate.value == pytest.approx(0.25)
