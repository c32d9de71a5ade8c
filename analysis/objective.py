"""The robust objective of a batch of fits on log loss, and its local picture for a minimiser.

Array axes: M problems, P parameters, n runs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.laws.law import Floats, Law, LogAxes

TINY = 1e-300


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


def huber(residual: Floats, delta: float) -> tuple[Floats, Floats, Floats]:
    """Huber's loss, its derivative divided by the residual, and its second derivative."""
    if np.isinf(delta):
        one = np.ones_like(residual)
        return 0.5 * residual * residual, one, one
    size = np.abs(residual)
    inside = size <= delta
    rho = np.where(inside, 0.5 * residual * residual, delta * (size - 0.5 * delta))
    ratio = np.where(inside, 1.0, delta / np.maximum(size, TINY))
    return rho, ratio, inside.astype(float)


def objective_values(
    problem: Problem, theta: Floats, index: NDArray[np.intp] | None = None
) -> Floats:
    """The objective without its anchor, parameters [M, P] -> [M]; of problems `index` only."""
    rows = np.arange(len(theta)) if index is None else index
    value, _ = problem.law.model(theta, problem.axes)
    residual = _of_problems(problem.log_loss, rows) - np.log(np.maximum(value, TINY))
    rho, _, _ = huber(residual, problem.delta)
    return np.asarray((_of_problems(problem.weight, rows) * rho).sum(axis=-1))


@dataclass(slots=True)
class LocalPicture:
    """The local picture of each problem: objective, gradient and two normal matrices."""

    theta: Floats  # [M, P]
    objective: Floats  # [M]
    gradient: Floats  # [M, P]
    reweighted: Floats  # [M, P, P], of reweighted least squares
    curvature: Floats  # [M, P, P], of the objective (Gauss-Newton)
    energy: Floats  # [M], weighted sum of squares that goes with `reweighted`

    def take(self, which: NDArray[np.bool_]) -> LocalPicture:
        return LocalPicture(*(getattr(self, name)[which] for name in self.__slots__))

    def replace(self, which: NDArray[np.bool_], other: LocalPicture) -> None:
        for name in self.__slots__:
            getattr(self, name)[which] = getattr(other, name)[which]


def _of_problems(values: Floats, index: NDArray[np.intp]) -> Floats:
    return values if values.ndim == 1 else values[index]


def local_picture(problem: Problem, index: NDArray[np.intp], theta: Floats) -> LocalPicture:
    """Evaluates problems `index` at `theta` [len(index), P]."""
    weight = _of_problems(problem.weight, index)
    value, slope = problem.law.model(theta, problem.axes)
    value = np.maximum(value, TINY)
    residual = _of_problems(problem.log_loss, index) - np.log(value)
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
    point = LocalPicture(
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


def _add_anchor(anchor: Anchor, index: NDArray[np.intp], point: LocalPicture) -> None:
    value, slope = anchor.function(index, point.theta)
    stiffness = anchor.stiffness[index]
    miss = value - anchor.target[index]
    outer = stiffness[:, None, None] * slope[:, :, None] * slope[:, None, :]
    point.objective += 0.5 * stiffness * miss**2
    point.gradient += (stiffness * miss)[:, None] * slope
    point.reweighted += outer
    point.curvature += outer
    point.energy += stiffness * miss**2
