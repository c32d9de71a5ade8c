"""Batched minimisation of a robust objective on log loss, many problems side by side.

A projected Levenberg-Marquardt in NumPy. Its normal matrix moves, by the damping of each problem,
between that of iteratively reweighted least squares (safe far away) and the curvature of the
objective itself (quick near the optimum). Problems may differ in start, in weights (resampled
runs) and in targets (simulated losses). No step depends on the unit of a parameter.

Array axes: M problems, P parameters, n runs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.laws.law import Floats, Law, LogAxes

# Elements of the [M, n] block that is worked on at once: small enough for the cache.
_BLOCK_ELEMENTS = 60_000
_TINY = 1e-300
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
class Anchor:
    """A pull `stiffness/2 x (value - target)^2` on a function of the parameters.

    Its minimisers lie on the profile of the objective over that function, whatever the stiffness.

    Attributes:
        function: indices of problems [M], parameters [M, P] -> value [M], gradient [M, P].
        target, stiffness: [M].
    """

    function: Callable[[NDArray[np.intp], Floats], tuple[Floats, Floats]]
    target: Floats
    stiffness: Floats


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """What is minimised: SUM over runs of weight x Huber(log loss - log law), and an anchor.

    Attributes:
        log_loss, weight: [n], or [M, n] where problems differ.
        delta: where Huber's loss turns linear, in units of log loss; inf is least squares.
    """

    law: Law
    axes: LogAxes
    log_loss: Floats
    weight: Floats
    delta: float
    anchor: Anchor | None = None


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


def huber(residual: Floats, delta: float) -> tuple[Floats, Floats, Floats]:
    """Huber's loss, its derivative divided by the residual, and its second derivative."""
    if np.isinf(delta):
        one = np.ones_like(residual)
        return 0.5 * residual * residual, one, one
    size = np.abs(residual)
    inside = size <= delta
    rho = np.where(inside, 0.5 * residual * residual, delta * (size - 0.5 * delta))
    ratio = np.where(inside, 1.0, delta / np.maximum(size, _TINY))
    return rho, ratio, inside.astype(float)


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


def objective_values(
    problem: Problem, theta: Floats, index: NDArray[np.intp] | None = None
) -> Floats:
    """The objective without its anchor, parameters [M, P] -> [M]; of problems `index` only."""
    rows = np.arange(len(theta)) if index is None else index
    value, _ = problem.law.model(theta, problem.axes)
    residual = _rows(problem.log_loss, rows) - np.log(np.maximum(value, _TINY))
    rho, _, _ = huber(residual, problem.delta)
    return np.asarray((_rows(problem.weight, rows) * rho).sum(axis=-1))


@dataclass(slots=True)
class _Point:
    """The local picture of each problem: objective, gradient and two normal matrices."""

    theta: Floats  # [M, P]
    objective: Floats  # [M]
    gradient: Floats  # [M, P]
    reweighted: Floats  # [M, P, P], of reweighted least squares
    curvature: Floats  # [M, P, P], of the objective (Gauss-Newton)
    energy: Floats  # [M], weighted sum of squares that goes with `reweighted`

    def take(self, which: NDArray[np.bool_]) -> _Point:
        return _Point(*(getattr(self, name)[which] for name in self.__slots__))

    def replace(self, which: NDArray[np.bool_], other: _Point) -> None:
        for name in self.__slots__:
            getattr(self, name)[which] = getattr(other, name)[which]


def _rows(values: Floats, index: NDArray[np.intp]) -> Floats:
    return values if values.ndim == 1 else values[index]


def _look(problem: Problem, index: NDArray[np.intp], theta: Floats) -> _Point:
    """Evaluates problems `index` at `theta` [len(index), P]."""
    weight = _rows(problem.weight, index)
    value, slope = problem.law.model(theta, problem.axes)
    value = np.maximum(value, _TINY)
    residual = _rows(problem.log_loss, index) - np.log(value)
    rho, ratio, second = huber(residual, problem.delta)
    slope /= value[:, None, :]
    pull = weight * ratio
    weighted = slope * pull[:, None, :]
    across = slope.transpose(0, 2, 1)
    reweighted = weighted @ across
    if np.isinf(problem.delta):
        curvature = reweighted.copy()
    else:
        curvature = (slope * (weight * second)[:, None, :]) @ across
    point = _Point(
        theta=theta,
        objective=(weight * rho).sum(axis=-1),
        gradient=-(weighted @ residual[:, :, None])[:, :, 0],
        reweighted=reweighted,
        curvature=curvature,
        energy=(pull * residual * residual).sum(axis=-1),
    )
    if problem.anchor is not None:
        _add_anchor(problem.anchor, index, point)
    return point


def _add_anchor(anchor: Anchor, index: NDArray[np.intp], point: _Point) -> None:
    value, slope = anchor.function(index, point.theta)
    stiffness = anchor.stiffness[index]
    miss = value - anchor.target[index]
    outer = stiffness[:, None, None] * slope[:, :, None] * slope[:, None, :]
    point.objective += 0.5 * stiffness * miss**2
    point.gradient += (stiffness * miss)[:, None] * slope
    point.reweighted += outer
    point.curvature += outer
    point.energy += stiffness * miss**2


def _polish_block(
    problem: Problem, block: NDArray[np.intp], start: Floats, tolerance: float, max_iterations: int
) -> Polished:
    law = problem.law
    total_weight = float(np.mean(problem.weight.sum(axis=-1)))
    theta, gradient_norm = start[block].copy(), np.full(len(block), np.inf)
    converged = np.zeros(len(block), dtype=bool)
    active = np.arange(len(block))
    damping, stalled = np.ones(len(block)), np.zeros(len(block), dtype=int)
    point = _look(problem, block, theta)
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
        ahead = _look(problem, block[active], trial)
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


def _held(point: _Point, law: Law) -> NDArray[np.bool_]:
    """Parameters on a bound that the gradient pushes against, [M, P]."""
    at_low = (point.theta <= law.low) & (point.gradient > 0)
    at_high = (point.theta >= law.high) & (point.gradient < 0)
    return at_low | at_high


def _scale(point: _Point) -> Floats:
    return np.asarray(np.sqrt(np.maximum(np.einsum("mpp->mp", point.reweighted), _TINY)))


def _largest_cosine(point: _Point, held: NDArray[np.bool_]) -> Floats:
    length = np.sqrt(np.maximum(point.energy, _TINY))
    cosine = np.abs(point.gradient) / (_scale(point) * length[:, None])
    return np.asarray(np.where(held, 0.0, cosine).max(axis=-1))


def _step(point: _Point, held: NDArray[np.bool_], damping: Floats) -> Floats:
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
