"""Losses over the Bayes optimum: one yardstick for all objectives, and laws without a floor."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.compare_groups import compare
from analysis.errors import AnalysisError
from analysis.fit import fit_law
from analysis.laws import FITTED, LAWS
from analysis.rolling_holdout import holdout
from analysis.table import load_table
from tests.planted_sweep import LAWS as PLANTED
from tests.planted_sweep import write_sweep


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Done runs whose optimum is the planted E of their architecture: excess is a pure power."""
    root = tmp_path_factory.mktemp("runs")
    write_sweep(root, noise=0.0)
    rng = np.random.default_rng(5)
    found = []
    for path in sorted(root.glob("cells/*/record.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        for loss in record["losses"].values():
            optimal = PLANTED[record["spec"]["arch"]]["E"]
            excess = loss["nats_per_target"] - optimal
            noisy = excess * np.exp(0.003 * rng.standard_normal())
            loss |= {"nats_per_target": optimal + noisy, "optimal_nats_per_target": optimal,
                     "excess_standard_error": 0.001}  # fmt: skip
        found.append(record)
    return found


@pytest.mark.parametrize("arch", PLANTED)
def test_a_law_over_the_optimum_has_no_floor_and_finds_the_planted_exponents(
    records: list[dict[str, Any]], arch: str
) -> None:
    table = load_table(records, loss="excess").select(group=arch)
    assert table.loss_kinds == ("excess",)
    assert "Bayes optimum" in table.labels["loss"]
    fit = fit_law(table, "chinchilla", n_boot=100)
    assert "E" not in fit.estimates
    assert "E = 0" in fit.formula
    for name in ("alpha", "beta"):
        estimate = fit.estimate(name)
        assert estimate.interval is not None
        assert estimate.interval.low < PLANTED[arch][name] < estimate.interval.high
        assert estimate.value == pytest.approx(PLANTED[arch][name], rel=0.05)
    best = fit.optimal(1e13).loss.value
    assert 0 < best < table.values("loss").max()


def test_objectives_stand_on_one_yardstick_over_the_optimum(
    records: list[dict[str, Any]],
) -> None:
    raw = compare(load_table(records), laws=("chinchilla",), methods=(), n_boot=100)
    assert raw.refusal
    assert not raw.multipliers
    over = compare(load_table(records, loss="excess"), laws=("chinchilla",), methods=(), n_boot=100)
    assert not over.refusal
    assert over.multipliers
    assert over.joint is not None
    assert [level.name for level in over.joint.levels] == ["one law", "own A, B", "all own"]


def test_without_an_optimum_it_is_refused_in_one_line(records: list[dict[str, Any]]) -> None:
    bare = copy.deepcopy(records)
    for record in bare:
        for loss in record["losses"].values():
            del loss["optimal_nats_per_target"]
    with pytest.raises(AnalysisError, match="no Bayes optimum is recorded") as caught:
        load_table(bare, loss="excess")
    assert "\n" not in str(caught.value)
    mixed = load_table([*records[1:], bare[0]], loss="excess")
    assert "no Bayes optimum is recorded" in " ".join(mixed.excluded["reason"])


def test_a_hold_out_over_the_optimum_predicts_by_laws_without_a_floor(
    records: list[dict[str, Any]],
) -> None:
    table = load_table(records, loss="excess").select(group="decoder")
    # At this noise a law without its term of the wrong form predicts within a few percent.
    assert holdout(table, laws=("chinchilla",)).ranking["error"].iloc[0] < 0.05


@pytest.mark.parametrize("name", [name for name in LAWS if f"{name}_without_floor" in FITTED])
def test_its_gradient_is_that_of_the_law_without_the_column_of_e(name: str) -> None:
    law, whole = FITTED[f"{name}_without_floor"], LAWS[name]
    rng = np.random.default_rng(0)
    theta = rng.uniform(0.2, 0.8, (3, len(law.parameters)))
    axes = {role: rng.normal(size=6) for role in law.axes}
    value, slope = law.model(theta, axes)
    padded = np.hstack([np.zeros((3, 1)), theta])
    expected, gradient = whole.model(padded, axes)
    np.testing.assert_array_equal(value, expected)
    np.testing.assert_array_equal(slope, gradient[:, 1:])
    assert "E" not in law.names


def test_real_runs_on_ordinary_text_are_refused() -> None:
    folder = Path(__file__).parents[1] / "analysis" / "reference" / "quickstart"
    with pytest.raises(AnalysisError, match="no Bayes optimum is recorded"):
        load_table(folder, loss="excess")
