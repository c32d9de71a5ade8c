"""Published values that rest on a recipe of their own, and what that recipe decides.

The other published values are tested beside the code that reproduces them: the Chinchilla and Gadre
optima in test_fit.py, the bootstrap of Besiroglu et al. in test_bootstrap.py, Porian et al.'s
exponents in test_isoflop_profiles.py, the protein envelope in test_frontier.py, the difference of
the protein models in test_compare_groups.py.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize_scalar

from analysis import fit_law, holdout, load_table
from analysis.table import Table

# Exponents of N* along the five corrections, as printed by Porian et al. 2024, arXiv:2406.19146.
PORIAN = {
    "rw": {0.835, 0.706, 0.602, 0.571, 0.497},
    "owt2": {0.864, 0.699, 0.603, 0.574, 0.518},
}


def test_the_table_of_porian_holds_the_printed_exponents(shared_data: Path) -> None:
    published = pd.read_csv(shared_data / "laws/porian/published_fits.csv")
    for dataset, printed in PORIAN.items():
        rows = published[published["dataset"] == dataset]
        assert printed <= set(rows["bs_median_weighted.n_exponent"].round(3))


def test_nine_of_fifteen_published_loss_laws_are_their_start(shared_data: Path) -> None:
    """Why a fit that equals its start is a failure here."""
    published = pd.read_csv(shared_data / "laws/porian/published_fits.csv")
    # The starts were A = e^5, alpha = 0.1 and E = 1 or e^0.5.
    never_moved = np.isclose(published["weighted.A"], np.exp(5.0), rtol=1e-6)
    never_moved &= np.isclose(published["weighted.alpha"], 0.1, rtol=1e-6)
    assert (int(never_moved.sum()), len(published)) == (9, 15)
    floors = set(published["weighted.E"][never_moved].round(4))
    assert floors == {1.0, round(float(np.exp(0.5)), 4)}


# Protein models: Cheng et al. 2024, bioRxiv 2024.06.06.597716


def authors_envelope(readings: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """FLOPs and best N as their notebook takes them.

    At the tenth reading from the end of each run, the lowest loss among the nearest readings of
    all runs that have one within 1e18 FLOPs.
    """
    curves = [
        (size, run["C"].to_numpy(), run["loss"].to_numpy())
        for (size, _), run in readings.groupby(["N", "run"], sort=False)
    ]
    flops, best = [], []
    for target in sorted({c[-10:].min() for _, c, _ in curves}):
        nearest = [(np.abs(c - target).argmin(), size, c, loss) for size, c, loss in curves]
        near = [(loss[i], size) for i, size, c, loss in nearest if abs(c[i] - target) <= 1e18]
        flops.append(target)
        best.append(min(near)[1])
    return np.array(flops), np.array(best)


def power_of_least_squares(x: np.ndarray, y: np.ndarray) -> float:
    """b of y = a x^b by least squares on y itself, so that the largest values decide."""

    def misfit(b: float) -> float:
        power = (x / x.max()) ** b
        return float(np.sum((y - power * (power @ y) / (power @ power)) ** 2))

    return float(minimize_scalar(misfit, bounds=(0.05, 2.0), method="bounded").x)


def test_the_protein_exponents_by_the_recipe_of_their_authors(shared_data: Path) -> None:
    readings = pd.read_csv(shared_data / "laws/protein_mlm_clm/curves.csv.gz")
    found = {}
    for group in ("CLM", "MLM"):
        flops, best = authors_envelope(readings[readings["arch"] == group])
        for name, kept in (("all", flops > 0), ("to 1e22", flops <= 1e22)):
            assert name == "all" or (~kept).sum() == 1
            found[group, name] = power_of_least_squares(flops[kept], best[kept])
    assert found["CLM", "to 1e22"] == pytest.approx(0.557, abs=0.001)
    # The published 0.760 is of a set of runs that differs a little from the one that is public.
    assert found["MLM", "all"] == pytest.approx(0.760, abs=0.007)
    # Each published value is of another range: one run above 1e22 FLOPs moves either by 0.04-0.05.
    assert found["CLM", "all"] == pytest.approx(0.607, abs=0.002)
    assert found["MLM", "to 1e22"] == pytest.approx(0.725, abs=0.002)


def resampled_slopes(
    table: Table, generator: np.random.Generator, *, only_inside: bool, n_draws: int = 400
) -> np.ndarray:
    """a by unweighted parabolas per budget, over resampled runs; NaN where there is none."""
    frame = table.frame[table.frame["budget_flops"].notna()]
    budgets = [
        (np.log(c), np.log(runs["params_total"].to_numpy()), runs["loss_nats"].to_numpy())
        for c, runs in frame.groupby("budget_flops")
        if runs["params_total"].nunique() >= 3
    ]
    slopes = np.full(n_draws, np.nan)
    for draw in range(n_draws):
        minima = []
        for log_c, log_n, loss in budgets:
            rows = generator.integers(len(log_n), size=len(log_n))
            x, y = log_n[rows] - 18.0, loss[rows]
            if len(np.unique(x)) < 3:
                continue
            curvature, slope, _ = np.polyfit(x, y, 2)
            at = -slope / (2 * curvature)
            if curvature > 0 and (not only_inside or x.min() <= at <= x.max()):
                minima.append((log_c, at))
        if len(minima) > 1:
            slopes[draw] = np.polyfit(*np.transpose(minima), 1)[0]
    return slopes


def test_the_wide_interval_of_the_protein_difference_is_of_minima_outside_the_sizes(
    shared_data: Path,
) -> None:
    """A bootstrap over runs gave (-0.08, 2.67) for a(MLM) - a(CLM).

    Its upper end rests on parabolas whose minimum lies far outside the sizes of a budget. With
    them it is beyond 2, whatever else is chosen; without them 0.3. Such minima are refused here,
    and the difference is as little established.
    """
    table = load_table(shared_data / "laws/protein_mlm_clm/final_points.csv")
    for only_inside, least, most in ((False, 2.0, np.inf), (True, 0.2, 0.45)):
        generator = np.random.default_rng(0)
        mlm, clm = (
            resampled_slopes(table.select(group=g), generator, only_inside=only_inside)
            for g in ("MLM", "CLM")
        )
        low, high = np.nanquantile(mlm - clm, [0.025, 0.975])
        assert low < 0.0
        assert least < high < most


@pytest.mark.parametrize("group", ["CLM", "MLM"])
def test_surface_fits_of_the_protein_models_have_no_floor(shared_data: Path, group: str) -> None:
    table = load_table(shared_data / "laws/protein_mlm_clm/final_points.csv").select(group=group)
    fit = fit_law(table, intervals=None)
    assert fit.value("E") == 0.0
    assert ("on_bound", "E") in {(flag.code, flag.parameter) for flag in fit.flags}
    assert fit.status == "flagged"


# Prediction of dearer runs


@pytest.mark.slow
def test_laws_predict_the_dearest_fifth_of_public_tables(shared_data: Path) -> None:
    """Fitted below half of the 80th percentile of C; error of prediction in percent, 14 tables.

    Published for 15 tables that are not named: 2.5 with N and D, 2.4 tied, 2.2 Kaplan's form, 3.5
    with C alone. Which tables are taken moves these by more than they differ; that C alone is worst
    holds in both.
    """
    laws = shared_data / "laws"
    grouped = [
        load_table(laws / "isoflops_openathena/isoflops.csv", columns={"group": "experiment"}),
        load_table(laws / "protein_mlm_clm/final_points.csv"),
    ]
    tables = [table.select(group=group) for table in grouped for group in table.groups]
    tables.append(load_table(laws / "chinchilla_epoch/chinchilla_245.csv"))
    for dataset in ("rpj", "c4_original", "rw_original"):
        gadre = laws / "gadre/gadre_104_models.csv"
        tables.append(load_table(gadre, loss="loss_c4_val", where={"dataset": dataset}))
    assert len(tables) == 14
    errors = [holdout(table, cuts=(0.8,)).ranking.set_index("law")["error"] for table in tables]
    mean = 100 * pd.DataFrame(errors).mean()
    measured = {"chinchilla": 1.70, "tied": 1.75, "kaplan": 2.08, "compute": 2.58}
    assert mean.to_dict() == pytest.approx(measured, abs=0.05)
    assert mean.idxmax() == "compute"
