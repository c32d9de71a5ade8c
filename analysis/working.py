"""The working fit behind the intervals: an efficient robust fit, its slopes and its residuals.

A Huber fit with delta far below the noise is close to least absolute deviations: its point is
robust, but its objective has no usable curvature. Variances and profiles are therefore taken from a
second fit of the same law with delta at twice the scale of the residuals (98 % efficient under
normal noise, still bounded under outliers): Huber & Ronchetti 2009, sections 4.5 and 7.4.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.inputs import Runs
from analysis.laws.law import Floats
from analysis.objective import Problem
from analysis.polish import polish
from analysis.variance import Components, variance_components

_DELTA_IN_SCALES = 2.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Working:
    """An efficient fit near the one that is reported.

    Attributes:
        problem, theta, objective: the fit, with `problem.delta` matched to the residuals.
        jacobian: [n, P] of log loss, times the root of the weights; 0 for held parameters.
        residual: [n] of log loss, times the root of the weights.
        pseudo: [n], residuals as they act on the estimates: outliers drawn in.
        free: [P], parameters that no bound holds.
        inside: share of the runs in the quadratic part of the objective.
        variance: of one run's pseudo-residual, over the degrees of freedom; nan without any.
        components: None where no degree of freedom is left.
    """

    problem: Problem
    theta: Floats
    objective: float
    jacobian: Floats
    residual: Floats
    pseudo: Floats
    free: NDArray[np.bool_]
    inside: float
    variance: float
    components: Components | None

    @property
    def freedom(self) -> int:
        return len(self.residual) - int(self.free.sum())

    @property
    def inverse(self) -> Floats:
        """Inverse of J'J over the free parameters, 0 elsewhere; [P, P]."""
        length = np.linalg.norm(self.jacobian, axis=0)
        scale = np.where(length > 0, length, np.inf)
        unit = self.jacobian / scale
        return np.asarray(np.linalg.pinv(unit.T @ unit, rcond=1e-13) / np.outer(scale, scale))


def working_fit(stated: Problem, theta: Floats, runs: Runs) -> Working:
    """Refits from `theta` [P] with a delta that suits the noise."""
    law = stated.law
    scale = _scale(_residual(stated, theta), len(law.parameters))
    problem = dataclasses.replace(stated, delta=_DELTA_IN_SCALES * scale if scale > 0 else np.inf)
    fitted = polish(problem, theta[None])
    theta = fitted.theta[0]
    value, slope = law.model(theta[None], problem.axes)
    root = np.sqrt(problem.weight)
    jacobian = (slope[0] / np.maximum(value, 1e-300)).T * root[:, None]
    free = (theta > law.low) & (theta < law.high) & (np.linalg.norm(jacobian, axis=0) > 0)
    jacobian[:, ~free] = 0.0
    residual = _residual(problem, theta)
    inside = max(float((np.abs(residual) <= problem.delta).mean()), 1.0 / len(residual))
    pseudo = np.clip(residual, -problem.delta, problem.delta) / inside * root
    freedom = len(residual) - int(free.sum())
    return Working(
        problem=problem,
        theta=theta,
        objective=float(fitted.objective[0]),
        jacobian=jacobian,
        residual=residual * root,
        pseudo=pseudo,
        inside=inside,
        free=free,
        variance=float(pseudo @ pseudo) / freedom if freedom > 0 else np.nan,
        components=variance_components(jacobian, pseudo, problem.weight, runs.clusters),
    )


def _residual(problem: Problem, theta: Floats) -> Floats:
    value, _ = problem.law.model(theta[None], problem.axes)
    return np.asarray(problem.log_loss - np.log(np.maximum(value[0], 1e-300)))


def _scale(residual: Floats, n_params: int) -> float:
    """Robust standard deviation, corrected for the parameters that were fitted."""
    spread = 1.4826 * float(np.median(np.abs(residual)))
    if not spread > 1e-9:  # more than half of the runs fitted exactly
        spread = float(np.sqrt(np.mean(residual**2)))
    spread = spread if spread > 1e-12 else 0.0
    return spread * float(np.sqrt(len(residual) / max(len(residual) - n_params, 1)))
