"""Verdicts again under other conventions, estimators and with excluded runs put back."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from analysis.compare_groups import compare
from analysis.difference import Verdict
from analysis.sensitivity import sensitivity, sensitivity_of_comparison
from analysis.table import Table, load_table
from tests.planted_runs import grouped_frame

FINE = np.geomspace(2e6, 1e9, 9)


def test_a_verdict_that_rests_on_the_count_of_n_is_said_to_flip() -> None:
    # Equal laws in total parameters; without embeddings one group's small models shrink.
    frame = grouped_frame({"x": {}, "y": {}}, noise=5e-4, sizes=FINE)
    share = np.where(frame["group"] == "y", (frame["params_total"] / 1e9) ** 0.3, 1.0)
    frame["params_non_embedding"] = frame["params_total"] * share
    table = load_table(frame)
    baseline = compare(table, laws=("chinchilla",), methods=(), n_boot=100, with_joint=True)
    assert not baseline.verdict.is_established
    result = sensitivity_of_comparison(table, baseline, n_boot=100)
    topic = baseline.verdict.topic
    assert not result.stable[topic]
    flips = [x.change for x in result.variants if topic in x.flipped]
    assert "N = params_non_embedding" in flips
    assert {x.split(" and ")[0] for x in flips} == {"N = params_non_embedding"}
    assert any(
        f"{topic}: the verdict flips under {len(flips)} of 5 other choices" in sentence
        and " with N = params_non_embedding" in sentence
        for sentence in result.sentences
    )
    shared = "parameters that the groups do not share"
    assert shared in result.stable
    assert [v.topic for v in result.variants[0].verdicts][-1] == shared
    assert {x.change for x in result.variants} >= {"estimator l1", "estimator ls"}


def test_an_excluded_run_that_decides_is_named() -> None:
    frame = grouped_frame({"x": {}, "y": {}}, noise=5e-4, sizes=FINE)
    table = load_table(frame)
    dearest = table.frame.query("group == 'y'")["train_flops"].idxmax()
    frame.loc[dearest, "loss"] *= 1.5
    spoiled = load_table(frame)
    mask = np.arange(len(frame)) == dearest
    table = spoiled.exclude(mask, "an outlier")
    baseline = compare(table, laws=("chinchilla",), methods=(), n_boot=100, with_joint=False)
    result = sensitivity_of_comparison(table, baseline, n_boot=100)
    restored = [x for x in result.variants if x.kind == "excluded run"]
    assert [x.change for x in restored] == [f"with run line {dearest + 2}"]
    assert len(restored[0].verdicts) == 2


def test_a_clear_difference_survives_every_choice() -> None:
    changes = {"alpha": 0.42, "A": 1600.0}
    frame = grouped_frame({"x": {}, "y": changes}, noise=5e-4, sizes=FINE)
    frame["params_non_embedding"] = frame["params_total"] * 0.9
    table = load_table(frame)
    baseline = compare(table, laws=("chinchilla",), methods=(), n_boot=100, with_joint=False)
    result = sensitivity_of_comparison(table, baseline, n_boot=100)
    assert result.stable[baseline.verdict.topic]
    rows = result.frame()
    assert set(rows.loc[rows["topic"] == baseline.verdict.topic, "claim"]) == {"x"}
    assert result.sentences[0].startswith(
        f"{baseline.verdict.topic}: the verdict, x, stands under each of 5 other choices "
        "(3 counts of N and C, 2 "
    )


def test_conventions_with_the_same_numbers_and_duplicates_are_no_variants() -> None:
    frame = grouped_frame({"x": {}, "y": {}}, noise=1e-3, sizes=FINE)
    frame = frame.assign(params_non_embedding=frame["params_total"])
    table = load_table(frame)
    baseline = compare(table, laws=("chinchilla",), methods=(), n_boot=100, with_joint=False)
    result = sensitivity_of_comparison(table, baseline, n_boot=100)
    assert [x.kind for x in result.variants] == ["estimator", "estimator"]
    assert pytest.approx(baseline.verdict.estimate.value, abs=0.02) == (  # type: ignore[union-attr]
        result.variants[0].verdicts[0].estimate.value  # type: ignore[union-attr]
    )


def _judge(table: Table, _: str) -> list[Verdict]:
    """In favour of y where the table holds a run with a loss above 9."""
    claim = "y" if table.values("loss").max() > 9 else ""
    return [Verdict(topic="t", sentence="", claim=claim, estimate=None, approach="law")]


def test_excluded_runs_are_put_back_one_at_a_time_and_all_together() -> None:
    frame = grouped_frame({"x": {}, "y": {}}, sizes=FINE).assign(status="done")
    frame.loc[[1, 2, 3], "status"] = "diverged"
    frame.loc[1, "loss"] = 9.5
    frame.loc[3, "loss"] = np.nan
    table = load_table(frame)
    assert len(table.excluded) == 3
    baseline = _judge(table, "huber")
    result = sensitivity(table, _judge, baseline, estimators=("huber",))
    changes = [x.change for x in result.variants if x.kind == "excluded run"]
    assert changes == ["with run line 3", "with run line 4", "with all 2 excluded runs"]
    assert [x.change for x in result.variants if x.flipped] == [changes[0], changes[2]]
    assert result.sentences == (
        "t: the verdict flips under 2 of 3 other choices (3 with excluded runs put back): to y "
        "with run line 3, all 2 excluded runs",
    )
    assert [flag.code for flag in result.flags] == ["not_restorable"]
    assert result.flags[0].message.startswith("1 excluded runs have no finite N, D and loss")
    few = sensitivity(table, _judge, baseline, estimators=("huber",), max_restored=1)
    assert [x.change for x in few.variants] == [changes[0], changes[2]]
    assert "not_all_restored" in {flag.code for flag in few.flags}


def test_nothing_established_is_no_verdict_that_holds() -> None:
    frame = grouped_frame({"x": {}, "y": {}}, sizes=FINE)
    frame = frame.assign(params_non_embedding=frame["params_total"] * 0.9)
    table = load_table(frame)
    result = sensitivity(table, _judge, _judge(table, "huber"))
    assert result.sentences == (
        "t: not established, and none of 5 other choices (3 counts of N and C, 2 estimators) "
        "establishes it",
    )


def test_approaches_that_carry_no_verdict_are_tried_again() -> None:
    frame = grouped_frame({"x": {}, "y": {}}, noise=5e-4, sizes=FINE)
    table = load_table(frame.assign(params_non_embedding=frame["params_total"] * 0.9))
    baseline = compare(table, laws=("chinchilla",), methods=(), n_boot=100, with_joint=False)
    silent = dataclasses.replace(
        baseline, verdicts=(dataclasses.replace(baseline.verdict, approach=""),)
    )
    result = sensitivity_of_comparison(table, silent, n_boot=100)
    assert {v.approach for x in result.variants for v in x.verdicts} == {"Chinchilla law"}
