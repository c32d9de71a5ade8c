"""Which losses may stand on one envelope: ends of runs, constant rates, unknown schedules."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import analysis
from analysis.agreement import ENVELOPE, agreement, interval_doubts
from analysis.comparable import comparable_readings
from analysis.envelope import lower_envelope, smoothing_of
from analysis.errors import AnalysisError
from analysis.table import Table, load_table
from analysis.values import Estimate, Interval
from tests.planted_sweep import BUDGETS, SIZES, write_sweep

REFERENCE = Path(analysis.__file__).parent / "reference" / "quickstart"


@pytest.fixture(scope="module")
def reference() -> Table:
    return load_table(REFERENCE)


def _with_rate(table: Table, rate: float | None, runs: set[str] | None = None) -> Table:
    """The same runs, their readings at one learning rate (None: the table does not say)."""
    points = table.curve_points
    if rate is None:
        return dataclasses.replace(table, curve_points=points.drop(columns="learning_rate"))
    chosen = points["run_id"].isin(runs or set(points["run_id"]))
    points = points.assign(learning_rate=points["learning_rate"].mask(chosen, rate))
    return dataclasses.replace(table, curve_points=points)


@pytest.mark.parametrize("group", ["encoder", "decoder"])
def test_the_envelope_of_runs_that_cool_down_never_rises(reference: Table, group: str) -> None:
    table = reference.select(group=group)
    envelope = lower_envelope(table)
    assert envelope.readings.basis == "cooled-down ends"
    # Plateau readings among the ends made it a sawtooth: lower at a budget than just above it.
    assert (np.diff(envelope.points["loss"]) <= 1e-12).all()
    assert set(envelope.readings.frame["loss"]) == set(table.values("loss"))
    assert envelope.points["train_flops"].min() == pytest.approx(2.5e11)
    best = table.frame.groupby("budget_flops")["loss_nats"].min()
    at_budget = np.interp(best.index, envelope.points["train_flops"], envelope.points["loss"])
    assert at_budget == pytest.approx(best.to_numpy(), abs=1e-3)


def test_at_a_constant_rate_every_reading_counts(reference: Table) -> None:
    table = _with_rate(reference.select(group="decoder"), 0.002)
    readings = comparable_readings(table)
    assert readings.basis == "constant learning rate"
    fixed = table.curve_points["split"] == "validation"
    assert len(readings.frame) == int(fixed.sum())


def test_runs_without_a_cool_down_do_not_meet_those_with_one(reference: Table) -> None:
    table = reference.select(group="decoder")
    hot = set(table.frame["run_id"][:2])
    readings = comparable_readings(_with_rate(table, 0.002, hot))
    assert readings.basis == "cooled-down ends"
    assert "2 runs that did not cool down" in readings.left_out
    gone = set(table.frame["loss_nats"][:2])
    assert not gone & set(readings.frame["loss"])


def test_an_unknown_schedule_carries_no_verdict(tmp_path: Path) -> None:
    table = _with_rate(load_table(write_sweep(tmp_path)).select(group="decoder"), None)
    assert comparable_readings(table).basis == "unknown schedule"
    found = agreement(table, laws=(), methods=(), n_boot=100).named(ENVELOPE)
    assert found is not None
    assert any("does not say the learning rate" in doubt for doubt in found.doubts)


def test_seeds_of_a_horizon_are_averaged(tmp_path: Path) -> None:
    table = load_table(write_sweep(tmp_path, seeds=2)).select(group="decoder")
    readings = comparable_readings(table).frame
    assert len(readings) == len(SIZES) * len(BUDGETS)
    mean = table.frame.groupby(["params_total", "budget_flops"])["loss_nats"].mean()
    assert sorted(readings["loss"]) == pytest.approx(sorted(mean))


def test_sizes_with_one_horizon_make_no_curve(reference: Table) -> None:
    table = reference.select(group="decoder")
    first = table.frame["budget_flops"].min()
    short = table.exclude(table.frame["budget_flops"] > first, "left out")
    with pytest.raises(AnalysisError, match="no size has cooled-down runs at two horizons"):
        lower_envelope(short)


def test_ends_are_never_averaged_and_short_curves_hardly(reference: Table) -> None:
    table = reference.select(group="decoder")
    assert lower_envelope(table, smoothing=10).smoothing == 1
    constant = comparable_readings(_with_rate(table, 0.002))
    assert smoothing_of(constant) == 1
    long = pd.concat([constant.frame.assign(train_flops=lambda f, k=k: f["train_flops"] * k)
                      for k in range(1, 21)])  # fmt: skip
    assert smoothing_of(dataclasses.replace(constant, frame=long)) == 10


def test_the_exponent_of_a_step_between_two_sizes_is_doubtful(reference: Table) -> None:
    table = reference.select(group="decoder")
    found = agreement(table, laws=(), methods=(), n_boot=100).named(ENVELOPE)
    assert found is not None
    assert found.a is not None
    assert not found.is_sound
    text = " ".join(found.doubts)
    assert "passes 2 sizes between others" in text
    assert "its interval ends on 0" in text


@pytest.mark.parametrize(
    ("low", "high", "doubt"),
    [
        (0.3, 0.6, ""),
        (-0.1, 0.6, ""),
        (-1.8e-13, 0.706, "ends on 0"),
        (0.4, 1.0, "ends on 1"),
        (-0.14, 1.04, "holds every value"),
        (0.5, 0.5, "is empty"),
        (None, None, "no interval"),
    ],
)
def test_intervals_that_say_nothing(low: float | None, high: float | None, doubt: str) -> None:
    box = None
    if low is not None and high is not None:
        box = Interval(low=low, high=high, level=0.95, method="test")
    found = " ".join(interval_doubts(Estimate(name="a", value=0.5, unit="1", interval=box)))
    assert doubt in found
    assert bool(found) == bool(doubt)
