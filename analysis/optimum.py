"""The best split of a compute budget under a fitted law, for many draws of its parameters.

With C = 6 N D the split is in closed form (N_opt = G (C/6)^a). With another count of FLOPs it is
searched for on the line of constant compute, which is the same for every draw.

Array axes: M draws, k points on the line.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from analysis.laws.law import Floats, Law, Scales, safe_log
from analysis.profile import reported

TrainFlops = Callable[[Floats, Floats], Floats]

# How far beyond the runs, in ln N, an optimum is looked for.
_REACH = float(np.log(1e9))
_POINTS = 400
# ln D to 1e-12 of the range that is halved.
_BISECTIONS = 47


def best_split(
    law: Law,
    theta: Floats,
    scales: Scales,
    flops: float,
    *,
    train_flops: TrainFlops | None,
    unique_tokens: float | None,
) -> tuple[Floats, Floats, Floats]:
    """ln N*, ln D* and loss [M] at `flops`; +-inf or nan where the law has no optimum.

    Args:
        theta: parameters in scaled coordinates [M, P].
        train_flops: (N [k], D [k]) -> FLOPs [k], growing in both; None is 6 N D.
        unique_tokens: tokens in the data set, for laws that know repeats; None is no limit.
    """
    line = _Line(law, scales, flops, train_flops, unique_tokens)
    if train_flops is None and unique_tokens is None:
        named = reported(law, theta, scales)
        log_n = safe_log(named["G"]) + named["a"] * np.log(flops / 6.0)
        return log_n, np.log(flops / 6.0) - log_n, line.losses_at(theta, log_n)
    centre = np.log(scales["n"])
    low, high = centre - _REACH, centre + _REACH
    # Each round narrows the range to where the optima of all draws are.
    for _ in range(4):
        grid = np.linspace(low, high, _POINTS)
        loss = line.losses(theta, grid)
        best = np.argmin(loss, axis=1)
        step = grid[1] - grid[0]
        low, high = grid[best.min()] - 2 * step, grid[best.max()] + 2 * step
    log_n = _vertex(grid, loss, best)
    ran_off = np.abs(log_n - centre) > _REACH - 1.0
    log_n = np.where(ran_off, np.sign(log_n - centre) * np.inf, log_n)
    return log_n, line.log_tokens(log_n), loss.min(axis=1)


class _Line:
    """The points of constant compute, and the law on them."""

    def __init__(
        self,
        law: Law,
        scales: Scales,
        flops: float,
        train_flops: TrainFlops | None,
        unique_tokens: float | None,
    ) -> None:
        self.law, self.scales, self.flops = law, scales, flops
        self.train_flops, self.unique_tokens = train_flops, unique_tokens

    def losses(self, theta: Floats, log_n: Floats) -> Floats:
        """Loss [M, k] at ln N [k]."""
        log_d = self.log_tokens(log_n)
        axes = {"n": log_n - np.log(self.scales["n"]), "d": log_d - np.log(self.scales["d"])}
        if "u" in self.law.axes:
            most = np.inf if self.unique_tokens is None else np.log(self.unique_tokens)
            axes["u"] = np.minimum(log_d, most) - np.log(self.scales["d"])
        return self.law.model(theta, axes)[0] * self.scales["loss"]

    def losses_at(self, theta: Floats, log_n: Floats) -> Floats:
        """Loss [M] of each draw at its own ln N [M]."""
        finite = np.isfinite(log_n)
        loss = np.full(len(theta), np.nan)
        for row in np.flatnonzero(finite):
            loss[row] = self.losses(theta[row : row + 1], log_n[row : row + 1])[0, 0]
        return loss

    def log_tokens(self, log_n: Floats) -> Floats:
        """ln D that spends the budget at ln N [k]."""
        if self.train_flops is None:
            return np.asarray(np.log(self.flops / 6.0) - log_n)
        params = np.exp(np.clip(log_n, -50.0, 200.0))
        # Most rules charge every token alike; one look tells.
        even = np.log(self.flops) - np.log(self.train_flops(params, np.ones(len(params))))
        if np.allclose(self.train_flops(params, np.exp(even)), self.flops, rtol=1e-12, atol=0):
            return np.asarray(even)
        low, high = np.full(len(params), -50.0), np.full(len(params), 120.0)
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            spent = np.asarray(self.train_flops(params, np.exp(middle)), dtype=float)
            low = np.where(spent < self.flops, middle, low)
            high = np.where(spent < self.flops, high, middle)
        return np.asarray((low + high) / 2)


def _vertex(grid: Floats, loss: Floats, best: NDArray[np.intp]) -> Floats:
    """Where the parabola through the lowest point and its neighbours has its minimum."""
    inner = np.clip(best, 1, len(grid) - 2)
    rows = np.arange(len(loss))
    left, middle, right = (loss[rows, inner + shift] for shift in (-1, 0, 1))
    bend = left - 2 * middle + right
    shift = 0.5 * (left - right) / np.where(bend > 0, bend, 1.0)
    shift = np.where((bend > 0) & (np.abs(shift) <= 1), shift, 0.0)
    return np.asarray(grid[inner] + shift * (grid[1] - grid[0]))
