"""Variable projection: exact non-negative least squares, and starts in the right valley."""

import numpy as np
from scipy.optimize import nnls

from analysis.laws import LAWS
from analysis.objective import Problem
from analysis.varpro import find_starts, non_negative, project


def test_non_negative_is_that_of_lawson_and_hanson() -> None:
    """200 random problems, many with active bounds, against scipy.optimize.nnls."""
    rng = np.random.default_rng(0)
    design = rng.normal(size=(200, 12, 3)) + rng.normal(size=(200, 1, 3))
    target = rng.normal(size=(200, 12))
    gram = design.transpose(0, 2, 1) @ design
    right = (design.transpose(0, 2, 1) @ target[:, :, None])[:, :, 0]
    found, _ = non_negative(gram, right)
    reference = np.array([nnls(a, b)[0] for a, b in zip(design, target, strict=True)])
    np.testing.assert_allclose(found, reference, atol=1e-9)
    assert 0.1 < (reference == 0).mean() < 0.9


def planted(noise: float) -> Problem:
    rng = np.random.default_rng(0)
    axes = {"n": rng.normal(0, 2, 60), "d": rng.normal(0, 2, 60)}
    theta = np.array([[0.6, 0.2, 0.2, 0.34, 0.28]])
    loss = LAWS["chinchilla"].model(theta, axes)[0][0] * np.exp(rng.normal(0, noise, 60))
    return Problem(
        law=LAWS["chinchilla"], axes=axes, log_loss=np.log(loss), weight=np.ones(60), delta=np.inf
    )


def test_projection_at_the_true_exponents_gives_the_true_amplitudes() -> None:
    theta = project(planted(0.0), np.array([[0.34, 0.28]]))
    np.testing.assert_allclose(theta[0], [0.6, 0.2, 0.2, 0.34, 0.28], rtol=1e-6)


def test_best_start_is_near_and_the_others_are_spread() -> None:
    starts = find_starts(planted(0.004))
    assert np.abs(np.log(starts[0, 3:] / [0.34, 0.28])).max() < 0.25  # one step of the grid
    assert np.ptp(np.log(starts[:, 3])) > np.log(20)
    assert len(np.unique(starts, axis=0)) == len(starts)
