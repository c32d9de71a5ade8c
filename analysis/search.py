"""The search for the optimum of the stated objective: grid, polish, and how many roads lead there.

Array axes: P parameters.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.inputs import Runs
from analysis.laws.law import Floats
from analysis.objective import Problem, huber
from analysis.polish import polish
from analysis.profile import quantities, reported
from analysis.varpro import find_starts, thinned

# Least absolute deviations is the limit of Huber's sum over delta; the last delta is the fit.
_L1_DELTAS = (1e-3, 1e-5, 1e-7)
_SAME_OPTIMUM = 1e-6


@dataclass(frozen=True, kw_only=True, slots=True)
class Search:
    """The optimum and how it was reached."""

    problem: Problem
    start: Floats  # [P], the best one
    theta: Floats  # [P]
    other_start: Floats  # [P], an optimum or a start elsewhere
    objective_value: float
    gradient_norm: float
    converged: bool
    start_share: float
    n_starts: int


def search(runs: Runs, objective: str, delta: float) -> Search:
    """Starts from a grid, polishes them on some of the runs, and the best two on all."""
    deltas = {"huber": (delta,), "l1": _L1_DELTAS, "ls": (np.inf,)}[objective]
    problem = Problem(
        law=runs.law, axes=runs.log_axes, log_loss=runs.log_loss, weight=runs.weight,
        delta=deltas[0],
    )  # fmt: skip
    few = thinned(problem)
    starts = find_starts(few)
    coarse = polish(few, starts)
    least = float(coarse.objective.min())
    same = coarse.objective <= least * (1 + _SAME_OPTIMUM) + 1e-25 * runs.n_runs
    order = np.argsort(coarse.objective, kind="stable")
    # Among starts that reached the optimum the best one is the first, from the best grid point.
    best = int(np.flatnonzero(same)[0])
    theta = coarse.theta[[best, order[len(order) // 2]]]
    final = coarse
    for step in deltas:
        problem = dataclasses.replace(problem, delta=step)
        final = polish(problem, theta)
        theta = final.theta
    winner = 1 if final.objective[1] < final.objective[0] * (1 - _SAME_OPTIMUM) else 0
    return Search(
        problem=problem,
        start=starts[best],
        theta=theta[winner],
        other_start=starts[order[-1]],
        objective_value=_stated_value(problem, theta[winner], objective),
        gradient_norm=float(final.gradient_norm[winner]),
        converged=bool(final.converged[winner]),
        start_share=float(same.mean()),
        n_starts=len(starts),
    )


def _stated_value(problem: Problem, theta: Floats, objective: str) -> float:
    value, _ = problem.law.model(theta[None], problem.axes)
    residual = problem.log_loss - np.log(np.maximum(value[0], 1e-300))
    if objective == "l1":
        return float((problem.weight * np.abs(residual)).sum())
    rho, _, _ = huber(residual, problem.delta)
    return float((problem.weight * rho).sum())


def delta_sensitivity(found: Search, runs: Runs, objective: str, delta: float) -> pd.DataFrame:
    """The fit under other objectives, one row each, from the optimum that was found."""
    centre = delta if objective == "huber" else 1e-3
    steps = [("l1", _L1_DELTAS[-1]), *(("huber", centre * k) for k in (0.1, 1.0, 10.0)),
             ("ls", np.inf)]  # fmt: skip
    rows = []
    for name, step in steps:
        theta = found.theta[None]
        for smooth in (*(_L1_DELTAS if name == "l1" else ()), step):
            problem = dataclasses.replace(found.problem, delta=smooth)
            theta = polish(problem, theta, tolerance=1e-7).theta
        named = reported(runs.law, theta, runs.scales)
        rows.append(
            {"objective": name, "delta": step if name == "huber" else None}
            | {q.name: float(named[q.name][0]) for q in quantities(runs.law)}
        )
    return pd.DataFrame(rows)
