"""The batched optimiser against SciPy, on bounds, and under weights and targets per problem."""

import dataclasses

import numpy as np
import pytest
from scipy.optimize import least_squares

from analysis.laws import LAWS
from analysis.objective import Problem, huber, objective_values
from analysis.polish import polish

TRUTH = np.array([0.6, 0.2, 0.2, 0.34, 0.28])


def planted(*, noise: float = 0.01, delta: float = np.inf, seed: int = 0) -> Problem:
    rng = np.random.default_rng(seed)
    axes = {"n": rng.normal(0, 2, 60), "d": rng.normal(0, 2, 60)}
    loss = LAWS["chinchilla"].model(TRUTH[None], axes)[0][0] * np.exp(rng.normal(0, noise, 60))
    return Problem(
        law=LAWS["chinchilla"], axes=axes, log_loss=np.log(loss), weight=np.ones(60), delta=delta
    )


@pytest.mark.parametrize("delta", [np.inf, 0.005])
def test_optimum_is_that_of_scipy(delta: float) -> None:
    problem = planted(delta=delta)

    def residual(theta: np.ndarray) -> np.ndarray:
        return problem.log_loss - np.log(problem.law.model(theta[None], problem.axes)[0][0])

    loss = {"loss": "huber", "f_scale": delta} if np.isfinite(delta) else {}
    reference = least_squares(residual, TRUTH, xtol=1e-14, ftol=1e-14, gtol=1e-14, **loss)
    found = polish(problem, np.array([TRUTH * 1.5, TRUTH * 0.5]))
    assert found.converged.all()
    for row in range(2):
        assert found.objective[row] == pytest.approx(reference.cost, rel=1e-9)
        np.testing.assert_allclose(found.theta[row], reference.x, rtol=1e-4)


def test_huber_is_continuous_with_its_slope() -> None:
    delta = 1e-3
    residual = np.array([-2e-3, -1e-3, 0.0, 5e-4, 3e-3])
    rho, ratio, second = huber(residual, delta)
    np.testing.assert_allclose(rho, [1.5e-6, 5e-7, 0.0, 1.25e-7, 2.5e-6])
    np.testing.assert_allclose(ratio * residual, np.clip(residual, -delta, delta))
    np.testing.assert_array_equal(second, [0, 1, 1, 1, 0])


def test_a_weight_of_zero_removes_a_run() -> None:
    problem = planted()
    weight = np.ones((2, 60))
    weight[0, :7] = 0.0
    both = polish(dataclasses.replace(problem, weight=weight), np.array([TRUTH, TRUTH]))
    fewer = dataclasses.replace(
        problem,
        axes={role: x[7:] for role, x in problem.axes.items()},
        log_loss=problem.log_loss[7:],
        weight=np.ones(53),
    )
    np.testing.assert_allclose(both.theta[0], polish(fewer, TRUTH[None]).theta[0], rtol=1e-6)
    np.testing.assert_allclose(both.theta[1], polish(problem, TRUTH[None]).theta[0], rtol=1e-9)


def test_targets_may_differ_by_problem() -> None:
    one, other = planted(seed=0), planted(seed=0, noise=0.05)
    both = dataclasses.replace(one, log_loss=np.stack([one.log_loss, other.log_loss]))
    found = polish(both, np.array([TRUTH, TRUTH])).theta
    for row, problem in enumerate((one, other)):
        np.testing.assert_allclose(found[row], polish(problem, TRUTH[None]).theta[0], rtol=1e-9)


def test_a_bound_holds_and_the_rest_is_optimal() -> None:
    """A truth below the floor of E: E ends at 0, and no neighbour with E = 0 is better."""
    problem = planted()
    shifted = dataclasses.replace(problem, log_loss=np.log(np.exp(problem.log_loss) - 0.65))
    found = polish(shifted, TRUTH[None])
    assert found.theta[0, 0] == 0.0
    assert found.converged[0]
    rng = np.random.default_rng(0)
    near = found.theta * (1 + 1e-3 * rng.normal(size=(200, 5)))
    near[:, 0] = np.abs(1e-3 * rng.normal(size=200))
    assert (objective_values(shifted, near) > found.objective[0]).all()
