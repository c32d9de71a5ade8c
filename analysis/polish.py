"""Batched minimisation of a robust objective on log loss, many problems side by side.

A projected Levenberg-Marquardt in NumPy. Its normal matrix moves, by the damping of each problem,
between that of iteratively reweighted least squares (safe far away) and the curvature of the
objective itself (quick near the optimum). Problems may differ in start, in weights (resampled
runs) and in targets (simulated losses). No step depends on the unit of a parameter.

Array axes: M problems, P parameters, n runs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.laws.law import Floats, Law
from analysis.objective import TINY, LocalPicture, Problem, local_picture, objective_values

# Elements of the [M, n] block that is worked on at once: small enough for the cache.
_BLOCK_ELEMENTS = 60_000
# Cosine between the residuals and the columns of the Jacobian at which a fit has converged, and
# steps after which it has not.
TOLERANCE = 1e-10
MAX_ITERATIONS = 300
# A sum of this size per unit of weight is rounding: the law passes through every run.
_EXACT = 1e-26
_MAX_DAMPING = 1e12
_STALLED_STEPS = 3
# Where no step improves, a larger cosine than this is a failure, not rounding.
_NO_DESCENT = 1e-3


@dataclass(frozen=True, kw_only=True, slots=True)
class Polished:
    """Where the problems ended.

    Attributes:
        theta: [M, P].
        objective: [M], without the anchor.
        gradient_norm: [M], the largest cosine between the residuals and a parameter's gradient
            (no unit; parameters held by a bound left out).
        converged: [M], by the gradient or because no step improves at working precision.
    """

    theta: Floats
    objective: Floats
    gradient_norm: Floats
    converged: NDArray[np.bool_]


def polish(
    problem: Problem,
    start: Floats,
    *,
    tolerance: float = TOLERANCE,
    max_iterations: int = MAX_ITERATIONS,
) -> Polished:
    """Minimises `problem` from each start [M, P], within the bounds of the law."""
    law = problem.law
    n_runs = problem.log_loss.shape[-1]
    theta = np.clip(start, law.low, law.high).astype(float)
    size = max(1, _BLOCK_ELEMENTS // n_runs)
    blocks = [np.arange(i, min(i + size, len(theta))) for i in range(0, len(theta), size)]
    # A trial step may leave the range of floats; its objective is then no improvement.
    with np.errstate(over="ignore", invalid="ignore", divide="ignore", under="ignore"):
        parts = [_polish_block(problem, b, theta, tolerance, max_iterations) for b in blocks]
    return Polished(
        theta=np.concatenate([p.theta for p in parts]),
        objective=np.concatenate([p.objective for p in parts]),
        gradient_norm=np.concatenate([p.gradient_norm for p in parts]),
        converged=np.concatenate([p.converged for p in parts]),
    )


def _polish_block(
    problem: Problem, block: NDArray[np.intp], start: Floats, tolerance: float, max_iterations: int
) -> Polished:
    law = problem.law
    total_weight = float(np.mean(problem.weight.sum(axis=-1)))
    theta, gradient_norm = start[block].copy(), np.full(len(block), np.inf)
    converged = np.zeros(len(block), dtype=bool)
    active = np.arange(len(block))
    damping, stalled = np.ones(len(block)), np.zeros(len(block), dtype=int)
    point = local_picture(problem, block, theta)
    for _ in range(max_iterations):
        held = _held(point, law)
        cosine = _largest_cosine(point, held)
        exact = point.objective <= _EXACT * total_weight
        cosine = np.where(exact, 0.0, cosine)
        theta[active], gradient_norm[active] = point.theta, cosine
        done = (cosine < tolerance) | exact | (stalled >= _STALLED_STEPS)
        done |= damping > _MAX_DAMPING
        converged[active[done]] = True
        if done.all():
            break
        if done.any():
            active, point, held = active[~done], point.take(~done), held[~done]
            damping, stalled = damping[~done], stalled[~done]
        trial = np.clip(point.theta + _step(point, held, damping), law.low, law.high)
        ahead = local_picture(problem, block[active], trial)
        better = ahead.objective < point.objective  # False for NaN
        small = point.objective - ahead.objective <= 1e-13 * point.objective
        stalled = np.where(better, np.where(small, stalled + 1, 0), stalled)
        damping = np.where(better, np.maximum(damping / 4, 1e-9), damping * 3)
        point.replace(better, ahead)
    else:
        theta[active] = point.theta
    return Polished(
        theta=theta,
        objective=objective_values(problem, theta, block),
        gradient_norm=gradient_norm,
        converged=converged & (gradient_norm < _NO_DESCENT),
    )


def _held(point: LocalPicture, law: Law) -> NDArray[np.bool_]:
    """Parameters on a bound that the gradient pushes against, [M, P]."""
    at_low = (point.theta <= law.low) & (point.gradient > 0)
    at_high = (point.theta >= law.high) & (point.gradient < 0)
    return at_low | at_high


def _scale(point: LocalPicture) -> Floats:
    return np.asarray(np.sqrt(np.maximum(np.einsum("mpp->mp", point.reweighted), TINY)))


def _largest_cosine(point: LocalPicture, held: NDArray[np.bool_]) -> Floats:
    length = np.sqrt(np.maximum(point.energy, TINY))
    cosine = np.abs(point.gradient) / (_scale(point) * length[:, None])
    return np.asarray(np.where(held, 0.0, cosine).max(axis=-1))


def _step(point: LocalPicture, held: NDArray[np.bool_], damping: Floats) -> Floats:
    """The damped step of each problem; held parameters stay. [M, P]."""
    scale = _scale(point)
    share = np.minimum(damping, 1.0)[:, None, None]
    matrix = point.curvature + share * (point.reweighted - point.curvature)
    matrix /= scale[:, :, None] * scale[:, None, :]
    free = ~held
    matrix *= free[:, :, None] & free[:, None, :]
    ridge = np.maximum(damping - 1.0, 0.0) + 1e-2 * damping + 1e-12
    diagonal = np.arange(matrix.shape[1])
    matrix[:, diagonal, diagonal] += ridge[:, None] + held
    uphill = np.where(free, point.gradient / scale, 0.0)
    return np.asarray(-np.linalg.solve(matrix, uphill[:, :, None])[:, :, 0] / scale)
