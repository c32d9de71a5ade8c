"""Noise of a run's loss: from repeated seeds, else from the scatter about the profiles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.budgets import profiles_of
from analysis.table import Table
from analysis.values import Flag

Floats = NDArray[np.float64]

# Sizes that a parabola needs before its residuals say anything.
_MIN_SIZES = 4
_MIN_DEGREES = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Noise:
    """Standard deviation of the loss of one run (None: unknown), and how it is known."""

    nats: float | None
    source: str
    flags: tuple[Flag, ...] = ()


def noise_of(table: Table, budget: Floats, given: float | None) -> Noise:
    """The noise that a profile's points are redrawn with.

    Args:
        budget: the budget of each run [runs].
        given: a known value, which wins.
    """
    if given is not None:
        return Noise(nats=given, source="given")
    pooled = _over_seeds(table, budget)
    if pooled is not None:
        value, degrees = pooled
        return Noise(nats=value, source=f"repeated seeds ({degrees} degrees of freedom)")
    scatter = _about_parabolas(table, budget)
    if scatter is not None:
        value, degrees = scatter
        return Noise(
            nats=value,
            source=f"scatter about the parabolas ({degrees} degrees of freedom)",
            flags=(Flag(
                code="noise_from_scatter", severity="note",
                message=f"no repeated seeds: the noise of a run, {value:.2g} nats, is its scatter "
                "about parabolas, which includes their misfit",
            ),),
        )  # fmt: skip
    return Noise(
        nats=None,
        source="unknown",
        flags=(Flag(
            code="noise_unknown",
            message="no repeated seeds and too few sizes per budget to see the noise: the "
            "intervals hold no noise of single runs; give noise_nats or run seeds",
        ),),
    )  # fmt: skip


def _over_seeds(table: Table, budget: Floats) -> tuple[float, int] | None:
    """Pooled standard deviation of runs that share size and budget and differ in seed."""
    if "seed" not in table.frame or table.frame["seed"].nunique() < 2:
        return None
    loss = table.values("loss")
    _, cell = np.unique(np.stack([table.values("n"), budget]), axis=1, return_inverse=True)
    repeats = np.bincount(cell)
    degrees = len(loss) - len(repeats)
    if degrees < _MIN_DEGREES:
        return None
    mean = np.bincount(cell, weights=loss) / repeats
    return float(np.sqrt(((loss - mean[cell]) ** 2).sum() / degrees)), degrees


def _about_parabolas(table: Table, budget: Floats) -> tuple[float, int] | None:
    squares, degrees = 0.0, 0
    for profile in profiles_of(table, budget):
        if len(profile.log_n) < _MIN_SIZES:
            continue
        fitted = np.polynomial.Polynomial.fit(profile.log_n, profile.loss, 2)(profile.log_n)
        # A mean over repeats is quieter by their number.
        squares += float((profile.repeats * (profile.loss - fitted) ** 2).sum())
        degrees += len(profile.log_n) - _MIN_SIZES + 1
    if degrees < _MIN_DEGREES:
        return None
    return float(np.sqrt(squares / degrees)), degrees
