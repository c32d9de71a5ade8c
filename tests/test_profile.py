"""Profiles: against a reference minimiser, the exact F interval, and what is not identified."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import brentq, least_squares
from scipy.stats import t as student

from analysis.fit import fit_law
from analysis.inputs import Runs, read_runs
from analysis.laws import LAWS
from analysis.profile import profile_intervals
from analysis.search import search
from analysis.working import Working, working_fit

COLUMNS = dict.fromkeys(("n", "d", "c", "u", "loss"))


def planted(noise: float, *, seed: int = 0, size_noise: float = 0.0) -> pd.DataFrame:
    n = np.repeat(np.geomspace(5e7, 5e9, 6), 5)
    d = np.tile(np.geomspace(1e9, 1e11, 5), 6)
    rng = np.random.default_rng(seed)
    shared = np.repeat(rng.normal(0, size_noise, 6), 5)
    loss = 1.82 + 480 / n**0.348 + 2085 / d**0.366
    return pd.DataFrame({
        "params_non_embedding": n, "train_tokens": d, "train_flops": 6 * n * d,
        "loss_nats": loss * np.exp(shared + rng.normal(0, noise, n.size)),
    })  # fmt: skip


def working(table: pd.DataFrame, law: str = "chinchilla", cluster: str = "run"
            ) -> tuple[Runs, Working]:  # fmt: skip
    """The working fit by plain least squares, where the F interval has its textbook meaning."""
    runs = read_runs(table, LAWS[law], columns=COLUMNS, cluster=cluster, weights=None)
    found = search(runs, "ls", 1e-3)
    return runs, working_fit(found.problem, found.theta, runs)


def test_ends_are_those_of_a_reference_minimiser() -> None:
    """Refits by scipy.optimize.least_squares with the number held, at the critical rise."""
    table = planted(0.004)
    runs, fit = working(table)
    fit = dataclasses.replace(fit, problem=dataclasses.replace(fit.problem, delta=np.inf))
    n, d, y = runs.log_axes["n"], runs.log_axes["d"], runs.log_loss

    def residual(x: np.ndarray) -> np.ndarray:
        return np.log(x[0] + x[1] * np.exp(-x[3] * n) + x[2] * np.exp(-x[4] * d)) - y

    best = least_squares(residual, fit.theta, xtol=1e-14, ftol=1e-14, gtol=1e-14)
    critical = 2 * best.cost / 25 * student.ppf(0.975, 25) ** 2 / 2
    fit = dataclasses.replace(
        fit, theta=best.x, objective=best.cost, inside=1.0, variance=2 * best.cost / 25
    )
    found = profile_intervals(runs, fit, level=0.95)

    def rise(name: str, value: float) -> float:
        """Over the number: alpha held directly, a = beta / (alpha + beta) through beta."""

        def held(x: np.ndarray) -> np.ndarray:
            x = np.array([*x[:3], x[3], 0.0 if len(x) < 5 else x[4]])
            if name == "alpha":
                x[3], x[4] = value, x[3]
            else:
                x[4] = x[3] * value / (1 - value)
            return residual(x)

        start = best.x[[0, 1, 2, 4]] if name == "alpha" else best.x[:4]
        return float(least_squares(held, start, xtol=1e-14, ftol=1e-14).cost - best.cost - critical)

    values = {"alpha": best.x[3], "a": best.x[4] / (best.x[3] + best.x[4])}
    for name, value in values.items():
        profile = found[name]
        step = 0.5 * (profile.high - profile.low)
        reference = (
            brentq(lambda v, name=name: rise(name, v), value - 2 * step, value, xtol=1e-7),
            brentq(lambda v, name=name: rise(name, v), value, value + 2 * step, xtol=1e-7),
        )
        assert (profile.low, profile.high) == pytest.approx(reference, abs=0.01 * step), name
        assert not profile.is_open_low
        assert not profile.is_open_high


def test_small_noise_gives_the_linear_interval() -> None:
    """As noise vanishes the profile is the parabola: symmetric, t times the standard error."""
    runs, fit = working(planted(1e-5))
    found = profile_intervals(runs, fit, level=0.95)
    half = student.ppf(0.975, 25) * found["alpha"].standard_error
    assert fit.theta[3] - found["alpha"].low == pytest.approx(half, rel=2e-2)
    assert found["alpha"].high - fit.theta[3] == pytest.approx(half, rel=2e-2)


def test_size_effects_widen_alpha_and_cost_freedom() -> None:
    runs, fit = working(planted(0.004, size_noise=0.01, seed=1), cluster="size")
    found = profile_intervals(runs, fit, level=0.95)
    assert found["alpha"].method == "profile F with size effects"
    assert found["alpha"].design_effect > 2
    # Six sizes less the three numbers that they have to tell; beta is told within sizes.
    assert 2 < found["alpha"].freedom < 6
    assert found["beta"].freedom > 15
    assert found["beta"].design_effect < 1


def test_widest_interval_is_printed() -> None:
    fit = fit_law(planted(0.004), n_boot=200)
    for name in ("alpha", "beta", "a", "E"):
        estimate = fit.estimate(name)
        assert len(estimate.intervals) == 2
        assert estimate.interval is not None
        assert estimate.interval.width == max(i.width for i in estimate.intervals)


def test_floor_that_the_data_do_not_show_is_open_below() -> None:
    table = planted(0.004)
    table["loss_nats"] = (480 / table["params_non_embedding"] ** 0.12
                          + 2085 / table["train_tokens"] ** 0.366)  # fmt: skip
    table["loss_nats"] *= np.exp(np.random.default_rng(0).normal(0, 0.01, len(table)))
    runs, fit = working(table)
    floor = profile_intervals(runs, fit, level=0.95)["E"]
    assert floor.is_open_low
    assert floor.low == pytest.approx(0.0, abs=1e-9)


def test_repeats_as_good_as_new_leave_R_D_unbounded() -> None:
    """No decay in the truth: the upper end of R_D is open, and the fit says so."""
    table = pd.concat([planted(0.004, seed=seed) for seed in range(3)], ignore_index=True)
    passes = np.repeat([1.0, 2.0, 4.0], 30)
    table["unique_tokens"] = table["train_tokens"] / passes
    fit = fit_law(table, "data_constrained", n_boot=100)
    interval = fit.estimate("R_D").interval
    assert interval is not None
    assert interval.high == np.inf
    assert ("not_identified", "R_D") in {(f.code, f.parameter) for f in fit.flags}


def test_repeats_that_decay_give_R_D_an_interval() -> None:
    table = pd.concat([planted(0.0, seed=seed) for seed in range(3)], ignore_index=True)
    passes = np.repeat([1.0, 8.0, 60.0], 30)
    unique = table["train_tokens"] / passes
    worth = unique * (1 + 9.0 * (1 - np.exp(-(passes - 1) / 9.0)))
    clean = 1.82 + 480 / table["params_non_embedding"] ** 0.348 + 2085 / worth**0.366
    noise = np.random.default_rng(0).normal(0, 0.002, len(table))
    table = table.assign(unique_tokens=unique, loss_nats=clean * np.exp(noise))
    fit = fit_law(table, "data_constrained", n_boot=200)
    interval = fit.estimate("R_D").interval
    assert interval is not None
    assert interval.low < 9.0 < interval.high
    assert interval.high < 30.0


def test_exactly_fitted_runs_have_no_interval_but_a_flag() -> None:
    fit = fit_law(planted(0.004).iloc[[0, 7, 14, 22, 29]], n_boot=100)
    assert fit.estimate("alpha").interval is None
    assert "no_freedom" in {flag.code for flag in fit.flags}
