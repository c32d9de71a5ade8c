"""Profile intervals: how far a number can move before the best fit with it gets worse.

The profile F interval of every reported number, fitted or derived, from the working fit: the law
is refitted with the number pulled to a series of values until the objective rises by its critical
amount (Venzon & Moolgavkar 1988). Where residuals hold a size effect the critical amount is
multiplied by the ratio of the two variances and takes the degrees of freedom of the clusters (the
correction of Rao & Scott 1984 for clustered likelihoods). A number that can go to its bound, or as
far as the search goes, is open on that side: the data do not identify it there.

Array axes: M problems (a number, a side and a target each), P parameters, Q numbers.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.inputs import Runs
from analysis.laws.law import Floats, Law, Quantity, Scales, safe_exp
from analysis.objective import Anchor, Problem, objective_values
from analysis.polish import polish
from analysis.working import Working

# More runs than this, and the profile is the parabola at the optimum.
_MAX_RUNS = 3000
_STIFFNESS = 400.0
# A variance of log loss below this is rounding: the law passes through every run.
ROUNDING = 1e-20
_FIRST_ROUND = (0.4, 0.8, 1.2)
_FURTHER_ROUNDS = ((2.0, 4.0), (8.0, 16.0), (32.0, 64.0))
_REFINEMENTS = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile:
    """The interval of one number, and whether the data leave a side of it open."""

    low: float
    high: float
    is_open_low: bool
    is_open_high: bool
    standard_error: float
    freedom: float
    design_effect: float  # variance with cluster effects / variance without
    method: str


def quantities(law: Law) -> tuple[Quantity, ...]:
    return (*law.estimates, *law.derived)


def reported(law: Law, theta: Floats, scales: Scales) -> dict[str, Floats]:
    """Every reported number in the units of the columns, [M, P] -> name -> [M]."""
    theta = theta.copy()
    theta[:, : law.n_amplitudes] *= scales["loss"]
    return law.report(theta, scales)


def on_line(law: Law, theta: Floats, scales: Scales) -> Floats:
    """Every reported number on the line where intervals are made, [M, Q].

    Scale factors are taken by their logarithm, kept within the range of floats.
    """
    named = reported(law, theta, scales)
    columns = []
    for quantity in quantities(law):
        value = named[quantity.name]
        if quantity.is_positive_scale:
            value = np.log(np.clip(value, 1e-300, 1e300))
        columns.append(value)
    return np.nan_to_num(np.stack(columns, axis=1), nan=0.0, posinf=1e300, neginf=-1e300)


def off_line(quantity: Quantity, value: float) -> float:
    """Back from the line of `on_line`."""
    return float(safe_exp(np.array(value))) if quantity.is_positive_scale else float(value)


def profile_intervals(runs: Runs, working: Working, *, level: float) -> dict[str, Profile]:
    """A Profile for every reported number; empty where the law passes through every run."""
    from scipy.stats import t  # slow to import

    if working.components is None or not working.variance > ROUNDING:
        return {}
    law = working.problem.law
    best = on_line(law, working.theta[None], runs.scales)[0]
    slope = _slopes(law, working.theta[None], runs.scales)[0]
    spread = [_spread(row, working, best[i]) for i, row in enumerate(slope)]
    reach = np.array(
        [s.error * np.sqrt(s.design_effect) * t.ppf(0.5 + level / 2, s.freedom) for s in spread]
    )
    critical = np.array(
        [s.design_effect * float(t.ppf(0.5 + level / 2, s.freedom)) ** 2 for s in spread]
    )
    critical *= 0.5 * working.variance * working.inside
    if runs.n_runs > _MAX_RUNS:
        ends = np.stack([best - reach, best + reach])
        is_open = np.zeros_like(ends, dtype=bool)
    else:
        error = np.array([s.error for s in spread])
        ends, is_open = _search(runs, working, best, slope, error, reach, critical)
    has_effects = bool(working.components.levels)
    method = f"profile F with {runs.cluster} effects" if has_effects else "profile F"
    return {
        quantity.name: Profile(
            low=off_line(quantity, ends[0, i]),
            high=off_line(quantity, ends[1, i]),
            is_open_low=bool(is_open[0, i]),
            is_open_high=bool(is_open[1, i]),
            standard_error=float(spread[i].error * np.sqrt(spread[i].design_effect)),
            freedom=spread[i].freedom,
            design_effect=spread[i].design_effect,
            method=method,
        )
        for i, quantity in enumerate(quantities(law))
    }


@dataclass(frozen=True, slots=True)
class _Spread:
    error: float  # standard error without cluster effects
    design_effect: float
    freedom: float


def _spread(slope: Floats, working: Working, value: float) -> _Spread:
    """Standard error of one number with gradient `slope` [P]."""
    influence = working.jacobian @ (working.inverse @ slope)
    plain = working.variance * float(influence @ influence)
    if not plain > 1e-24 * max(value * value, 1e-12):  # no slope: the data do not move it
        return _Spread(0.2 * max(abs(value), 0.1), 1.0, float(working.freedom))
    assert working.components is not None
    if not working.components.levels:
        return _Spread(float(np.sqrt(plain)), 1.0, float(working.freedom))
    variance, freedom = working.components.of_linear(influence, working.problem.weight)
    # Cluster effects that cancel in this number must not make it look surer than it is.
    return _Spread(float(np.sqrt(plain)), max(variance / plain, 1e-2), freedom)


def _slopes(law: Law, theta: Floats, scales: Scales) -> Floats:
    """Gradient of the reported numbers by central differences, [M, P] -> [M, Q, P]."""
    n_problems, n_parameters = theta.shape
    step = np.diag(np.ones(n_parameters))[:, None, :] * (1e-6 * np.maximum(np.abs(theta), 1e-4))
    up, down = theta + step, np.maximum(theta - step, law.low)  # [P, M, P]
    gap = np.einsum("jmj->jm", up - down)[:, :, None]
    # One call for all of them: the laws' formulas are cheap, and calling them is not.
    both = on_line(law, np.concatenate([up, down]).reshape(-1, n_parameters), scales)
    high, low = both.reshape(2, n_parameters, n_problems, -1)
    return np.moveaxis((high - low) / gap, 0, 2)


class _Trail:
    """Points of one side of one profile: distance from the optimum, rise over the critical one."""

    def __init__(self, start: Floats) -> None:
        self.distance, self.rise, self.theta = [0.0], [0.0], [start]

    def add(self, distance: float, rise: float, theta: Floats) -> None:
        if np.isfinite(distance) and np.isfinite(rise):
            self.distance.append(distance)
            self.rise.append(rise)
            self.theta.append(theta)

    def sort(self) -> None:
        order = np.argsort(self.distance, kind="stable")
        self.distance = [self.distance[i] for i in order]
        self.rise = [self.rise[i] for i in order]
        self.theta = [self.theta[i] for i in order]

    @property
    def is_closed(self) -> bool:
        return max(self.rise) >= 1.0

    def crossing(self) -> float:
        """Where the root of the rise, nearly straight, reaches 1."""
        self.sort()
        after = next(i for i, rise in enumerate(self.rise) if rise >= 1.0)
        low, high = self.distance[after - 1], self.distance[after]
        a, b = np.sqrt(max(self.rise[after - 1], 0.0)), np.sqrt(self.rise[after])
        return float(low + (high - low) * (1.0 - a) / (b - a)) if b > a else float(high)

    def nearest(self, distance: float) -> Floats:
        return self.theta[int(np.argmin(np.abs(np.array(self.distance) - distance)))]


def _search(
    runs: Runs,
    working: Working,
    best: Floats,
    slope: Floats,
    error: Floats,
    reach: Floats,
    critical: Floats,
) -> tuple[Floats, NDArray[np.bool_]]:
    """Ends [2, Q] (low, high) on the line, and which of them are open."""
    n_numbers = len(best)
    trails = {(side, q): _Trail(working.theta) for side in (-1, 1) for q in range(n_numbers)}
    stiffness = _STIFFNESS * working.variance * working.inside / error**2

    def visit(wanted: list[tuple[int, int, float]]) -> None:
        """Adds the profile points at (side, number, distance) to the trails."""
        if not wanted:
            return
        which = np.array([q for _, q, _ in wanted])
        target = np.array([best[q] + side * far for side, q, far in wanted])
        start = np.stack([trails[side, q].nearest(far) for side, q, far in wanted])
        theta, rise = _anchored(runs, working, start, which, target, stiffness[which])
        value = on_line(working.problem.law, theta, runs.scales)[np.arange(len(which)), which]
        for k, (side, q, _) in enumerate(wanted):
            distance = side * (value[k] - best[q])
            if distance > 0.0:
                trails[side, q].add(float(distance), float(rise[k] / critical[q]), theta[k])

    visit([(side, q, far * reach[q]) for side, q in trails for far in _FIRST_ROUND])
    for factors in _FURTHER_ROUNDS:
        visit([
            (side, q, far * reach[q])
            for (side, q), trail in trails.items() if not trail.is_closed for far in factors
        ])  # fmt: skip
    for _ in range(_REFINEMENTS):
        visit([
            (side, q, trail.crossing()) for (side, q), trail in trails.items() if trail.is_closed
        ])  # fmt: skip
    ends, is_open = np.zeros((2, n_numbers)), np.zeros((2, n_numbers), dtype=bool)
    for (side, q), trail in trails.items():
        row = 0 if side < 0 else 1
        is_open[row, q] = not trail.is_closed
        far = trail.crossing() if trail.is_closed else max(trail.distance)
        ends[row, q] = best[q] + side * far
    return ends, is_open


def _anchored(
    runs: Runs,
    working: Working,
    start: Floats,
    which: NDArray[np.intp],
    target: Floats,
    stiffness: Floats,
) -> tuple[Floats, Floats]:
    """Best fits with number `which` [M] pulled to `target` [M]: parameters and rise."""
    law = working.problem.law

    def pulled(index: NDArray[np.intp], theta: Floats) -> tuple[Floats, Floats]:
        rows = np.arange(len(index))
        value = on_line(law, theta, runs.scales)[rows, which[index]]
        return value, _slopes(law, theta, runs.scales)[rows, which[index]]

    anchor = Anchor(function=pulled, target=target, stiffness=stiffness)
    problem: Problem = dataclasses.replace(working.problem, anchor=anchor)
    theta = polish(problem, start, tolerance=1e-6, max_iterations=60).theta
    return theta, objective_values(working.problem, theta) - working.objective
