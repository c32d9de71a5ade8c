"""Nested sharing between groups: planted differences, and the level of the tests."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from analysis.errors import AnalysisError
from analysis.joint import fit_jointly, sharing_levels
from analysis.joint_law import joint_law, split_parameters
from analysis.laws import LAWS
from analysis.table import load_table
from tests.planted_runs import grouped_frame

FINE = np.geomspace(2e6, 1e9, 9)


@pytest.mark.parametrize(
    ("changes", "chosen"),
    [
        ({}, "one law"),
        ({"E": 1.9}, "own E"),
        ({"E": 1.9, "A": 600.0}, "own E, A, B"),
        ({"alpha": 0.42, "A": 1600.0}, "all own"),
    ],
)
def test_the_planted_sharing_is_found(changes: dict[str, float], chosen: str) -> None:
    frame = grouped_frame({"x": {}, "y": changes}, noise=0.002, sizes=FINE)
    result = fit_jointly(load_table(frame), n_boot=99)
    assert result.chosen == chosen
    assert [level.n_parameters for level in result.levels] == [5, 6, 8, 10]
    squares = [level.sum_squares for level in result.levels]
    assert squares == sorted(squares, reverse=True)


def test_exact_losses_give_back_the_planted_parameters() -> None:
    frame = grouped_frame({"x": {}, "y": {"E": 1.95}}, sizes=FINE)
    result = fit_jointly(load_table(frame), n_boot=0)
    own_e = result.levels[1]
    assert own_e.values["x"]["E"] == pytest.approx(1.8, rel=1e-5)
    assert own_e.values["y"]["E"] == pytest.approx(1.95, rel=1e-5)
    assert own_e.values["x"]["alpha"] == own_e.values["y"]["alpha"] == pytest.approx(0.34, rel=1e-4)
    assert own_e.values["y"]["B"] == pytest.approx(2000, rel=1e-3)


def test_everything_own_equals_the_separate_fits() -> None:
    from analysis.fit import fit_law

    table = load_table(grouped_frame({"x": {}, "y": {"A": 600.0}}, noise=0.003, sizes=FINE))
    result = fit_jointly(table, n_boot=0)
    for group in table.groups:
        fit = fit_law(table.select(group=group), objective="ls", intervals=None)
        assert result.levels[-1].values[group]["a"] == pytest.approx(fit.value("a"), abs=1e-5)


@pytest.mark.slow
def test_an_error_per_size_does_not_make_a_difference() -> None:
    """Runs of a size share an error; the F test alone then rejects far too often."""
    by_f = by_both = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        frame = grouped_frame({"x": {}, "y": {}}, noise=0.002, sizes=FINE)
        frame["loss"] *= np.exp(0.002 * rng.standard_normal(len(frame)))
        cells = frame.groupby(["group", "params_total"]).ngroup()
        frame["loss"] *= np.exp(0.006 * rng.standard_normal(cells.max() + 1))[cells]
        level = fit_jointly(load_table(frame), n_boot=99, seed=seed).levels[0]
        assert level.p_f is not None
        assert level.p_against_own is not None
        by_f += level.p_f < 0.05
        by_both += level.p_against_own < 0.05
    assert by_f >= 8
    assert by_both <= 5


def test_the_gradient_of_a_joint_law_is_that_of_its_values() -> None:
    base, own = LAWS["chinchilla"], ("E", "alpha")
    law = joint_law(base, 2, own)
    assert law.names == ("E0", "E1", "A", "B", "alpha0", "alpha1", "beta")
    theta = np.array([[0.6, 0.7, 0.2, 0.25, 0.3, 0.4, 0.35]])
    rng = np.random.default_rng(0)
    axes = {"n": rng.normal(size=6), "d": rng.normal(size=6), "group": np.arange(6.0) % 2}
    _, gradient = law.model(theta, axes)
    for i in range(theta.shape[1]):
        step = np.zeros_like(theta)
        step[0, i] = 1e-6
        numeric = (law.model(theta + step, axes)[0] - law.model(theta - step, axes)[0]) / 2e-6
        np.testing.assert_allclose(gradient[:, i], numeric, atol=1e-8)
    first, second = split_parameters(base, 2, own, theta[0])
    np.testing.assert_array_equal(first, [0.6, 0.2, 0.25, 0.3, 0.35])
    np.testing.assert_array_equal(second, [0.7, 0.2, 0.25, 0.4, 0.35])


def test_levels_are_nested_for_every_law_in_size_and_data() -> None:
    for name in ("chinchilla", "tied", "kaplan"):
        owns = [set(own) for _, own in sharing_levels(LAWS[name])]
        assert all(a < b for a, b in pairwise(owns))
        assert owns[-1] == set(LAWS[name].names)


def test_mixed_yardsticks_single_groups_and_few_runs_are_refused(shared_data: Path) -> None:
    table = load_table(shared_data / "laws/protein_mlm_clm/final_points.csv")
    with pytest.raises(AnalysisError, match=r"2 yardsticks .* have no joint law"):
        fit_jointly(table)
    with pytest.raises(AnalysisError, match="needs two groups; the table has 1"):
        fit_jointly(table.select(group="CLM"))
    few = load_table(grouped_frame({"x": {}, "y": {}}, sizes=FINE).groupby("group").head(4))
    with pytest.raises(AnalysisError, match="has 4 runs; a joint chinchilla fit needs 6"):
        fit_jointly(few)
