"""The exponent a from every approach side by side."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from analysis.agreement import ENVELOPE, ApproachResult, agreement, disagreements
from analysis.table import Table, load_table
from analysis.values import Estimate, Interval
from tests.planted_runs import LAW, isoflop_frame

A_TRUE = LAW["beta"] / (LAW["alpha"] + LAW["beta"])
FINE = np.geomspace(2e6, 3e9, 14)


def _chinchilla(shared_data: Path) -> Table:
    table = load_table(shared_data / "laws/chinchilla_epoch/chinchilla_245.csv")
    loss = table.frame["loss_nats"]
    # The replication's own rule: keep what lies below the fifth highest loss.
    return table.exclude(loss >= loss.nlargest(5).min(), "one of the five highest losses")


def test_approaches_agree_on_the_chinchilla_runs(shared_data: Path) -> None:
    table = _chinchilla(shared_data)
    assert len(table.frame) == 240
    result = agreement(table, laws=("chinchilla",), n_boot=100)
    law = result.named("Chinchilla law")
    assert law is not None
    assert law.a is not None
    assert law.a.value == pytest.approx(0.514, abs=0.001)
    for approach in result.approaches[:3]:
        assert approach.a is not None
        assert approach.a.interval is not None
        assert approach.a.interval.low < 0.514 < approach.a.interval.high
    assert not [flag for flag in result.flags if flag.code == "approaches_disagree"]
    assert result.headline is law


def test_an_approach_that_cannot_work_is_listed_with_its_reason() -> None:
    result = agreement(load_table(isoflop_frame(sizes=FINE, noise=0.002)), laws=("chinchilla",),
                       n_boot=100)  # fmt: skip
    rows = result.frame().set_index("approach")
    assert np.isnan(rows.loc[ENVELOPE, "a"])
    assert "no training curves" in rows.loc[ENVELOPE, "reason"]
    assert abs(rows["a"].dropna() - A_TRUE).max() < 0.05


def _approach(name: str, value: float, half_width: float) -> ApproachResult:
    interval = Interval(low=value - half_width, high=value + half_width, level=0.95, method="test")
    estimate = Estimate(name="a", value=value, unit="1", interval=interval, intervals=(interval,))
    return ApproachResult(name=name, a=estimate)


@pytest.mark.parametrize(
    ("other", "half_width", "codes"),
    [
        (0.53, 0.05, set()),
        (0.60, 0.04, {"approaches_disagree"}),
        (0.65, 0.20, {"approaches_spread"}),
        (0.70, 0.05, {"approaches_disagree", "approaches_spread"}),
    ],
)
def test_approaches_that_contradict_each_other_are_warned_about(
    other: float, half_width: float, codes: set[str]
) -> None:
    flags = disagreements([_approach("law", 0.5, half_width), _approach("profiles", other, 0.05)])
    assert {flag.code for flag in flags} == codes


def test_doubtful_laws_are_listed_but_lead_nothing() -> None:
    # One ray of tokens per parameter: A and B cannot be told apart.
    table = load_table(isoflop_frame(sizes=FINE, ratio=(19.0, 21.0), budgets=6 * 20 * FINE**2))
    result = agreement(table, laws=("chinchilla",), n_boot=100)
    law = result.named("Chinchilla law")
    assert law is not None
    assert law.a is not None
    assert any("one ray" in doubt for doubt in law.doubts)
    assert result.headline is None
