"""Training curves on one grid of FLOPs, and the best run at each point of it.

Array axes: R runs, G points of the grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Curves:
    """Curves of R runs on a grid of G points."""

    log_flops: Floats  # [G]
    losses: Floats  # [R, G], inf where a run has no reading
    log_tokens: Floats  # [R, G]
    log_params: Floats  # [R]
    run_ids: list[str]


def curves_on_grid(readings: pd.DataFrame, n_column: str, smoothing: int, n_grid: int) -> Curves:
    """Smoothed curves, interpolated over log FLOPs; the range is that of all readings."""
    log_flops = np.linspace(
        np.log(readings["train_flops"].min()), np.log(readings["train_flops"].max()), n_grid
    )
    losses, tokens, params, run_ids = [], [], [], []
    for run_id, run in readings.groupby("run_id", sort=False):
        x = np.log(run["train_flops"].to_numpy())
        y = run["loss_nats"].rolling(smoothing, min_periods=1).mean().to_numpy()
        losses.append(np.interp(log_flops, x, y, left=np.inf, right=np.inf))
        tokens.append(np.interp(log_flops, x, np.log(run["train_tokens"].to_numpy())))
        params.append(np.log(run[n_column].iloc[0]))
        run_ids.append(str(run_id))
    return Curves(
        log_flops=log_flops, losses=np.array(losses), log_tokens=np.array(tokens),
        log_params=np.array(params), run_ids=run_ids,
    )  # fmt: skip


def best_runs(
    losses_RG: Floats, log_params: Floats
) -> tuple[NDArray[np.intp], NDArray[np.bool_], NDArray[np.bool_]]:
    """The run with the lowest loss, whether any run is there, and whether it is bracketed. [G]"""
    reached = np.isfinite(losses_RG)
    best = losses_RG.argmin(axis=0)
    smallest = np.where(reached, log_params[:, None], np.inf).min(axis=0)
    largest = np.where(reached, log_params[:, None], -np.inf).max(axis=0)
    chosen = log_params[best]
    bracketed = (smallest < chosen) & (chosen < largest)
    return best, np.asarray(reached.any(axis=0)), bracketed
