"""Comparisons of groups: verdicts, what is refused, and the published protein models."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from analysis.compare_groups import compare
from analysis.comparison import Comparison, Difference
from analysis.errors import AnalysisError
from analysis.headline import headline_verdict
from analysis.table import load_table
from analysis.values import Estimate, Interval
from tests.planted_runs import grouped_frame
from tests.planted_sweep import write_sweep

FINE = np.geomspace(2e6, 1e9, 9)
QUICK = {"laws": ("chinchilla",), "n_boot": 100}


def _compare(changes: dict[str, float], **options: object) -> Comparison:
    frame = grouped_frame({"x": {}, "y": changes}, noise=0.002, sizes=FINE)
    return compare(load_table(frame), **{**QUICK, **options})  # type: ignore[arg-type]


def test_a_difference_in_exponents_is_established_with_its_interval() -> None:
    result = _compare({"alpha": 0.42, "A": 1600.0})
    truth = 0.37 / (0.42 + 0.37) - 0.37 / (0.34 + 0.37)
    estimate = result.verdict.estimate
    assert result.verdict.claim == "x"
    assert estimate is not None
    assert estimate.interval is not None
    assert estimate.interval.low < truth < estimate.interval.high
    assert result.verdict.sentence.startswith("x scales with the larger exponent: a(y) - a(x) = -")
    assert result.joint is not None
    assert result.joint.chosen == "all own"


def test_a_constant_advantage_is_not_called_a_larger_exponent() -> None:
    result = _compare({"A": 360.0, "B": 1800.0})
    allocation, compute = result.verdicts
    assert not allocation.is_established
    assert compute.claim == "y"
    assert result.is_one_yardstick
    assert "may share alpha and beta" in result.joint.sentence  # type: ignore[union-attr]


def test_equal_groups_establish_nothing() -> None:
    result = _compare({})
    assert not any(verdict.is_established for verdict in result.verdicts)
    assert "no difference between the groups' laws is established" in result.summary()


def test_the_published_difference_of_protein_models_is_not_established(shared_data: Path) -> None:
    table = load_table(shared_data / "laws/protein_mlm_clm/final_points.csv")
    result = compare(table, laws=(), n_boot=500)
    assert result.verdict.sentence.startswith("not established: a(MLM) - a(CLM) = +0.1")
    parabola = result.differences[0]
    assert parabola.approach == "isoFLOP profiles (parabola)"
    assert parabola.estimate is not None
    assert parabola.estimate.value == pytest.approx(0.14, abs=0.02)
    assert parabola.estimate.interval is not None
    assert parabola.estimate.interval.low == pytest.approx(-0.08, abs=0.1)
    assert parabola.estimate.interval.high > 0.4
    # A masked cross-entropy stands on no common scale with a causal one.
    assert "not on one yardstick (CLM: clm, MLM: mlm)" in result.refusal
    assert result.joint is None
    assert not result.multipliers
    assert len(result.verdicts) == 1
    assert len(result.excluded) == 7


def test_masked_and_causal_nats_are_refused_and_bits_per_byte_are_not(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path)
    nats = compare(load_table(folder), **QUICK)  # type: ignore[arg-type]
    assert "encoder: mlm" in nats.refusal
    assert "decoder: clm" in nats.refusal
    assert nats.reference == "encoder"
    bits = compare(load_table(folder, loss="bits_per_byte"), **QUICK)  # type: ignore[arg-type]
    assert bits.is_one_yardstick
    assert "bounds_against_exact" in {flag.code for flag in bits.flags}
    assert bits.verdicts[-1].topic == "compute of decoder against encoder at equal loss"


def test_the_reference_turns_the_sign_and_nothing_else() -> None:
    first = _compare({"alpha": 0.42, "A": 1600.0}, with_joint=False)
    second = _compare({"alpha": 0.42, "A": 1600.0}, with_joint=False, reference="y")
    one, other = first.verdict.estimate, second.verdict.estimate
    assert one is not None
    assert other is not None
    assert one.value == pytest.approx(-other.value)
    assert first.verdict.claim == second.verdict.claim == "x"


def test_groups_over_different_compute_are_flagged() -> None:
    frame = grouped_frame({"x": {}, "y": {}}, noise=0.002, sizes=FINE)
    keep = np.where(frame["group"] == "x", frame["flops"] < 4e18, frame["flops"] > 2e18)
    result = compare(load_table(frame[keep]), with_joint=False, **QUICK)  # type: ignore[arg-type]
    assert "ranges_differ" in {flag.code for flag in result.flags}


def _difference(approach: str, value: float, half_width: float) -> Difference:
    interval = Interval(low=value - half_width, high=value + half_width, level=0.95, method="test")
    estimate = Estimate(name="a", value=value, unit="1", interval=interval, intervals=(interval,))
    return Difference(group="y", reference="x", approach=approach, estimate=estimate, is_sound=True)


def test_approaches_that_contradict_each_other_establish_nothing() -> None:
    first, opposed = _difference("law", 0.1, 0.05), _difference("profiles", -0.1, 0.05)
    verdict = headline_verdict([first, opposed], "y", "x")
    assert not verdict.is_established
    assert "the approaches contradict each other" in verdict.sentence
    assert "profiles gives -0.1" in verdict.sentence
    assert headline_verdict([first, _difference("profiles", -0.1, 0.2)], "y", "x").claim == "y"
    doubtful = dataclasses.replace(first, is_sound=False)
    assert headline_verdict([doubtful, opposed], "y", "x").claim == "x"


def test_three_groups_are_compared_with_one_and_counted() -> None:
    frame = grouped_frame({"x": {}, "y": {}, "z": {"A": 600.0}}, noise=0.002, sizes=FINE)
    table = load_table(frame)
    result = compare(table, reference="y", laws=("chinchilla",), methods=(), n_boot=100)
    assert [d.group for d in result.differences if d.estimate] == ["x", "z"]
    (counted,) = [flag for flag in result.flags if flag.code == "several_comparisons"]
    assert counted.message.startswith("2 comparisons with y stand side by side")
    assert set(result.multipliers) == {"x", "z"}
    assert result.frame()["group"].tolist() == ["x", "x", "z", "z"]


def test_another_column_can_hold_the_groups() -> None:
    frame = grouped_frame({"x": {}, "y": {}}, noise=0.002, sizes=FINE)
    table = load_table(frame.rename(columns={"group": "objective"}))
    assert table.loss_kinds == ("x", "y")
    result = compare(table, "loss_kind", with_joint=False, **QUICK)  # type: ignore[arg-type]
    assert result.groups == ("x", "y")


def test_what_cannot_be_compared_says_why() -> None:
    frame = grouped_frame({"x": {}, "y": {}}, sizes=FINE)
    table = load_table(frame)
    with pytest.raises(AnalysisError, match=r"no column 'colour' \(--by\)"):
        compare(table, "colour")
    with pytest.raises(AnalysisError, match="holds 1 group"):
        compare(table.select(group="x"))
    with pytest.raises(AnalysisError, match="the table names no groups, and a comparison needs"):
        compare(load_table(frame.drop(columns="group")))
    with pytest.raises(AnalysisError, match="reference='z' is no group"):
        compare(table, reference="z")
    few = load_table(frame.groupby("group").head(3))
    result = compare(few, **QUICK)  # type: ignore[arg-type]
    assert result.verdict.sentence.startswith("not established: no approach gives a sound exponent")
    assert set(result.missing) == {"joint fit", "multiplier of y"}
