"""Laws: gradients, limits, closed-form optima, and planted parameters that a fit recovers."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from analysis.fit import fit_law
from analysis.laws import LAWS
from analysis.profile import reported

SCALES = {"n": 3e7, "d": 2e9, "c": 6e17, "u": 2e9, "loss": 3.0}


def some_axes(seed: int = 0, n: int = 40) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    axes = {role: rng.normal(0.0, 1.5, n) for role in ("n", "d", "c")}
    axes["u"] = axes["d"] - rng.exponential(1.0, n) * (rng.random(n) < 0.7)
    return axes


def some_theta(name: str, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.array([
        [rng.uniform(0.9, 1.1) * (rng.choice(p.grid) if p.grid else 0.4) + 0.01
         for p in LAWS[name].parameters]
    ])  # fmt: skip


@pytest.mark.parametrize("name", LAWS)
def test_gradient_is_that_of_central_differences(name: str) -> None:
    law, axes = LAWS[name], some_axes()
    for seed in range(10):
        theta = some_theta(name, seed)
        value, slope = law.model(theta, axes)
        for j in range(theta.shape[1]):
            step = np.zeros_like(theta)
            step[0, j] = 1e-6 * max(1.0, abs(theta[0, j]))
            up, down = law.model(theta + step, axes)[0], law.model(theta - step, axes)[0]
            numeric = (up - down) / (2 * step[0, j])
            error = np.abs(numeric - slope[:, j]) / (np.abs(numeric) + 1e-2 * np.abs(value))
            # A corner of the data-constrained law (N = N_opt) may lie between the two points.
            assert np.quantile(error, 0.95) < 1e-5, (name, j)


@pytest.mark.parametrize("name", LAWS)
def test_basis_times_amplitudes_is_the_law(name: str) -> None:
    law, axes, theta = LAWS[name], some_axes(), some_theta(name, 3)
    if name == "data_constrained":  # its basis leaves the excess of N out
        axes["n"] = axes["n"] - 20.0
    value, _ = law.model(theta, axes)
    basis = law.basis(theta[:, law.n_amplitudes :], axes)
    np.testing.assert_allclose(np.einsum("mk,mkn->mn", theta[:, : law.n_amplitudes], basis), value)


def test_chinchilla_in_the_units_of_the_columns() -> None:
    """The formula with the reported numbers is the law in scaled coordinates."""
    theta = np.array([[0.6, 0.2, 0.15, 0.34, 0.37]])
    x = {key: float(v[0]) for key, v in reported(LAWS["chinchilla"], theta, SCALES).items()}
    n, d = np.array([1e6, 5e9]), np.array([1e8, 7e11])
    axes = {"n": np.log(n / SCALES["n"]), "d": np.log(d / SCALES["d"])}
    value = LAWS["chinchilla"].model(theta, axes)[0][0] * SCALES["loss"]
    formula = x["E"] + x["A"] / n ** x["alpha"] + x["B"] / d ** x["beta"]
    np.testing.assert_allclose(value, formula, rtol=1e-12)


def test_kaplan_in_the_units_of_the_columns() -> None:
    theta = np.array([[0.5, 0.3, 0.08, 0.1, 0.4]])
    x = {key: float(v[0]) for key, v in reported(LAWS["kaplan"], theta, SCALES).items()}
    n, d = np.array([1e6, 5e9]), np.array([1e8, 7e11])
    axes = {"n": np.log(n / SCALES["n"]), "d": np.log(d / SCALES["d"])}
    value = LAWS["kaplan"].model(theta, axes)[0][0] * SCALES["loss"]
    bracket = (x["N_c"] / n) ** (x["alpha_N"] / x["alpha_D"]) + x["D_c"] / d
    np.testing.assert_allclose(value, x["E"] + bracket ** x["alpha_D"], rtol=1e-10)


def test_broken_power_in_the_units_of_the_columns() -> None:
    theta = np.array([[0.5, 0.3, 0.1, 0.2, -0.4, -0.7]])
    x = {key: float(v[0]) for key, v in reported(LAWS["broken_power"], theta, SCALES).items()}
    c = np.array([1e15, 6e17, 1e20])
    value = LAWS["broken_power"].model(theta, {"c": np.log(c / SCALES["c"])})[0][0]
    width = (1 + (c / x["C_b"]) ** (1 / x["f"])) ** (-x["c1"] * x["f"])
    formula = x["E"] + x["k"] * c ** -x["c0"] * width
    np.testing.assert_allclose(value * SCALES["loss"], formula, rtol=1e-10)


@pytest.mark.parametrize("name", ["chinchilla", "tied", "kaplan"])
def test_closed_form_optimum_is_the_lowest_loss_on_the_line(name: str) -> None:
    """N_opt = G (C/6)^a against a search over N at 6 N D = C."""
    theta = some_theta(name, 5)
    x = {key: float(v[0]) for key, v in reported(LAWS[name], theta, SCALES).items()}
    flops = 1e19
    log_n = np.log(x["G"]) + x["a"] * np.log(flops / 6) + np.linspace(-0.5, 0.5, 2001)
    axes = {"n": log_n - np.log(SCALES["n"]), "d": np.log(flops / 6) - log_n - np.log(SCALES["d"])}
    loss = LAWS[name].model(theta, axes)[0][0]
    assert abs(int(np.argmin(loss)) - 1000) <= 1
    assert x["a"] + x["b"] == pytest.approx(1.0)


def test_data_constrained_without_repeats_is_chinchilla_up_to_the_optimal_size() -> None:
    """Muennighoff et al., section 3.1: R = 0 gives the law of unique tokens back."""
    theta = np.array([[0.6, 0.2, 0.15, 0.34, 0.37, np.log(15.4), np.log(5.3)]])
    d = np.linspace(-2, 2, 9)
    optimal = (np.log(0.34 * 0.2) - np.log(0.37 * 0.15) + 0.37 * d) / 0.34
    axes = {"n": optimal - 0.1, "d": d, "u": d + 1.0}
    one_pass = LAWS["chinchilla"].model(theta[:, :5], axes)[0]
    np.testing.assert_allclose(LAWS["data_constrained"].model(theta, axes)[0], one_pass)


def test_data_constrained_counts_repeats_as_published() -> None:
    """D' = U + U R_D (1 - exp(-(D/U - 1)/R_D)): 4 passes at R_D = 15.4 are worth 3.73."""
    passes, decay = 4.0, 15.4
    worth = 1 + decay * (1 - np.exp(-(passes - 1) / decay))
    theta = np.array([[0.5, 0.2, 0.15, 0.34, 0.37, np.log(decay), 0.0]])
    below_optimal = np.array([-3.0])
    repeated = {"n": below_optimal, "d": np.array([np.log(passes)]), "u": np.array([0.0])}
    unique = {"n": below_optimal, "d": np.array([np.log(worth)]), "u": np.array([9.0])}
    model = LAWS["data_constrained"].model
    np.testing.assert_allclose(model(theta, repeated)[0], model(theta, unique)[0], rtol=1e-12)
    assert worth == pytest.approx(3.726, abs=1e-3)


def _planted(name: str) -> tuple[pd.DataFrame, dict[str, float]]:
    """A table without noise that follows a law exactly, and the truth."""
    theta = {
        "chinchilla": [0.55, 0.2, 0.25, 0.34, 0.28],
        "tied": [0.55, 0.2, 0.25, 0.31],
        "kaplan": [0.5, 0.35, 0.31, 0.27, 0.4],
        "compute": [0.6, 0.4, 0.17],
        "data_constrained": [0.55, 0.2, 0.25, 0.34, 0.28, np.log(9.0), np.log(3.0)],
        "broken_power": [0.5, 0.5, 0.05, 0.2, -1.0, -0.3],
    }[name]
    n, d, passes = (
        axis.ravel()
        for axis in np.meshgrid(
            np.geomspace(1e6, 1e9, 7), np.geomspace(1e8, 1e11, 6), [1.0, 3.0, 20.0], indexing="ij"
        )
    )
    table = pd.DataFrame({
        "params_non_embedding": n, "train_tokens": d, "train_flops": 6 * n * d,
        "unique_tokens": d / passes,
    })  # fmt: skip
    law = LAWS[name]
    columns = {"n": "params_non_embedding", "d": "train_tokens", "c": "train_flops",
               "u": "unique_tokens"}  # fmt: skip
    scales = {r: float(np.exp(np.log(table[c]).mean())) for r, c in columns.items()} | {"loss": 3.0}
    scales["u"] = scales["d"]  # so that D / U is a number of passes
    axes = {r: np.log(table[columns[r]].to_numpy() / scales[r]) for r in law.axes}
    table["loss_nats"] = 3.0 * law.model(np.array([theta]), axes)[0][0]
    truth = {key: float(v[0]) for key, v in reported(law, np.array([theta]), scales).items()}
    return table, truth


@pytest.mark.parametrize("name", LAWS)
def test_fit_recovers_planted_parameters(name: str) -> None:
    table, truth = _planted(name)
    fit = fit_law(table, name, intervals=None, objective="ls")
    for key, value in truth.items():
        assert fit.value(key) == pytest.approx(value, rel=2e-3), key
    assert np.abs(fit.residuals).max() < 1e-6


def test_every_law_names_its_source_and_formula() -> None:
    for key, law in LAWS.items():
        assert key == law.name
        assert "arXiv" in law.source
        assert law.formula.startswith("L = E")
        assert dataclasses.is_dataclass(law)
