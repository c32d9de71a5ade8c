"""Curves of comparable losses on one grid of FLOPs, and the best size at each point of it.

Array axes: R curves, G points of the grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.comparable import Readings, comparable_readings
from analysis.table import Table

Floats = NDArray[np.float64]

# Grid of Hoffmann et al. 2022, section 3.1.
GRID = 1500
# Readings that each point of a curve is averaged over, at most one in this many of a curve's own:
# a window that spans a visible part of the curve would pull its end up.
MOST_AVERAGED = 10
READINGS_PER_AVERAGE = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Curves:
    """Curves of R runs or sizes on a grid of G points."""

    log_flops: Floats  # [G]
    losses: Floats  # [R, G], inf where a curve has no reading
    log_tokens: Floats  # [R, G]
    log_params: Floats  # [R]
    names: list[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Envelope:
    """The lower envelope of one group's comparable losses.

    Attributes:
        points: per grid point: train_flops, curve, params_opt, tokens_opt, loss, and `bracketed`
            (a smaller and a larger size reach the same FLOPs).
        readings: what it was drawn through.
        smoothing: readings that each point of a curve was averaged over.
    """

    points: pd.DataFrame
    readings: Readings
    smoothing: int


def smoothing_of(readings: Readings) -> int:
    """Ten readings, as for curves of 200 and more; one for short curves and for ends of runs."""
    if readings.basis == "cooled-down ends":
        return 1
    length = int(readings.frame.groupby("curve").size().median())
    return max(1, min(MOST_AVERAGED, length // READINGS_PER_AVERAGE))


def lower_envelope(
    table: Table, *, split: str = "validation", smoothing: int | None = None, n_grid: int = GRID
) -> Envelope:
    """The best of the comparable losses at each FLOPs.

    Args:
        table: runs of one group on one yardstick, with curves.
        smoothing: None takes `smoothing_of`; ends of runs are never averaged.
    Raises:
        AnalysisError: as `analysis.comparable.comparable_readings`.
    """
    readings = comparable_readings(table, split)
    if smoothing is None or readings.basis == "cooled-down ends":
        smoothing = smoothing_of(readings)
    return envelope_of(readings, table.columns["n"], smoothing, n_grid)


def envelope_of(readings: Readings, n_column: str, smoothing: int, n_grid: int) -> Envelope:
    """The best curve at each point of the grid."""
    curves = curves_on_grid(readings, n_column, smoothing, n_grid)
    best, seen, bracketed = best_curves(curves.losses, curves.log_params)
    columns = np.arange(len(best))
    points = pd.DataFrame({
        "train_flops": np.exp(curves.log_flops),
        "curve": [curves.names[i] for i in best],
        "params_opt": np.exp(curves.log_params[best]),
        "tokens_opt": np.exp(curves.log_tokens[best, columns]),
        "loss": curves.losses[best, columns],
        "bracketed": bracketed,
    })  # fmt: skip
    points = points.iloc[np.flatnonzero(seen)].reset_index(drop=True)
    return Envelope(points=points, readings=readings, smoothing=smoothing)


def curves_on_grid(readings: Readings, n_column: str, smoothing: int, n_grid: int) -> Curves:
    """Smoothed curves, interpolated over log FLOPs; the range is that of all readings."""
    frame = readings.frame
    log_c = np.log(frame["train_flops"].to_numpy(dtype=float))
    log_flops = np.linspace(log_c.min(), log_c.max(), n_grid)
    losses, tokens, params, names = [], [], [], []
    for name, curve in frame.groupby("curve", sort=False):
        x = np.log(curve["train_flops"].to_numpy())
        y = curve["loss"].rolling(smoothing, min_periods=1).mean().to_numpy()
        losses.append(np.interp(log_flops, x, y, left=np.inf, right=np.inf))
        tokens.append(np.interp(log_flops, x, np.log(curve["train_tokens"].to_numpy())))
        params.append(np.log(curve[n_column].iloc[0]))
        names.append(str(name))
    return Curves(
        log_flops=log_flops, losses=np.array(losses), log_tokens=np.array(tokens),
        log_params=np.array(params), names=names,
    )  # fmt: skip


def best_curves(
    losses_RG: Floats, log_params: Floats
) -> tuple[NDArray[np.intp], NDArray[np.bool_], NDArray[np.bool_]]:
    """The curve with the lowest loss, whether any is there, and whether it is bracketed. [G]"""
    reached = np.isfinite(losses_RG)
    best = losses_RG.argmin(axis=0)
    smallest = np.where(reached, log_params[:, None], np.inf).min(axis=0)
    largest = np.where(reached, log_params[:, None], -np.inf).max(axis=0)
    chosen = log_params[best]
    bracketed = (smallest < chosen) & (chosen < largest)
    return best, np.asarray(reached.any(axis=0)), bracketed
