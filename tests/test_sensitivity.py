"""Verdicts again under other conventions, estimators and with excluded runs put back."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.compare_groups import compare
from analysis.sensitivity import sensitivity_of_comparison
from analysis.table import load_table
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
    (flip,) = [x for x in result.variants if topic in x.flipped]
    assert flip.change == "N = params_non_embedding"
    assert any(
        f"{topic}: the verdict flips with N = params_non_embedding (1 of" in sentence
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
    assert "the same under" in result.sentences[0]


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
