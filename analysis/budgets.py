"""Budgets: which runs of a table were meant to spend the same FLOPs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.table import Table

Floats = NDArray[np.float64]


def budgets_of(table: Table, *, tolerance: float = 0.1) -> Floats:
    """The budget of each run, in FLOPs [runs].

    The sweep's own nominal budget where it has one and the run's FLOPs lie within `tolerance` of
    it. The other runs are grouped by their FLOPs: sorted, a step of more than the tolerance starts
    a new budget, and so does a budget that has grown wider than twice the tolerance, so that a
    dense row of runs does not become one. Such a budget is the geometric mean of its runs.
    """
    flops = table.values("c")
    nominal = np.full(len(flops), np.nan)
    if "budget_flops" in table.frame:
        nominal = table.values("budget_flops").copy()
        nominal[~(np.abs(np.log(flops) - np.log(nominal)) <= np.log1p(tolerance))] = np.nan
    budgets = nominal
    free = np.flatnonzero(np.isnan(nominal))
    width = np.log1p(tolerance)
    start = 0
    order = free[np.argsort(flops[free], kind="stable")]
    log_c = np.log(flops[order])
    for stop in range(1, len(order) + 1):
        ends = (
            stop == len(order)
            or log_c[stop] - log_c[stop - 1] > width
            or log_c[stop] - log_c[start] > 2 * width
        )
        if ends:
            budgets[order[start:stop]] = np.exp(log_c[start:stop].mean())
            start = stop
    return budgets


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile:
    """The runs of one budget with repeats of a size averaged, sorted by N [sizes]."""

    flops: float
    log_n: Floats
    log_d: Floats
    loss: Floats
    repeats: NDArray[np.int64]


def profiles_of(table: Table, budgets: Floats) -> list[Profile]:
    """One profile per budget, by rising FLOPs; `budgets` [runs] as from `budgets_of`."""
    columns = {"n": table.values("n"), "d": table.values("d"), "loss": table.values("loss")}
    profiles = []
    for flops in np.unique(budgets):
        rows = budgets == flops
        sizes, index, repeats = np.unique(
            columns["n"][rows], return_inverse=True, return_counts=True
        )
        loss = np.bincount(index, weights=columns["loss"][rows]) / repeats
        log_d = np.bincount(index, weights=np.log(columns["d"][rows])) / repeats
        profiles.append(
            Profile(
                flops=float(flops), log_n=np.log(sizes), log_d=log_d, loss=loss, repeats=repeats
            )
        )
    return profiles
