"""plot: one result on one Axes, for notebooks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.comparison import Comparison
from analysis.errors import AnalysisError
from analysis.frontier_result import FrontierResult
from analysis.holdout_result import HoldoutResult
from analysis.isoflop_result import IsoflopResult
from analysis.plots.canvas import log_ticks, log_x, points, stack
from analysis.plots.fits import ForestRow, draw_forest, draw_residuals
from analysis.plots.isoflop import draw_isoflop
from analysis.plots.runs import draw_loss_over_flops
from analysis.raw_table import LABELS
from analysis.result import FitResult
from analysis.style import INK, arm_marks
from analysis.table import Table


def plot(result: Any, ax: Axes | None = None) -> Axes:
    """Draws a result: residuals of a fit, profiles, envelope, hold-out errors, differences.

    Args:
        result: of `fit_law`, `isoflop`, `frontier`, `holdout`, `compare` or `load_table`.
        ax: where to draw; None makes a figure by pyplot.
    Returns:
        The Axes, to be changed or saved by its figure.
    Raises:
        AnalysisError: there is no figure of such a thing.

    >>> from matplotlib.figure import Figure
    >>> from analysis import isoflop, load_table, plot
    >>> from analysis.examples import planted_runs
    >>> figure = Figure()
    >>> plot(isoflop(load_table(planted_runs())), ax=figure.subplots()).get_ylabel()
    'loss (unit as given in the table)'
    """
    draw = next((draw for kind, draw in _DRAW.items() if isinstance(result, kind)), None)
    if draw is None:
        known = ", ".join(kind.__name__ for kind in _DRAW)
        raise AnalysisError(f"there is no figure of {type(result).__name__}; there is of {known}")
    if ax is None:
        from matplotlib import pyplot  # starts a window system where there is one

        ax = pyplot.subplots(layout="constrained")[1]
    draw(ax, result)
    return ax


def _draw_fit(ax: Axes, fit: FitResult) -> pd.DataFrame:
    return draw_residuals(ax, fit, _runs_of(fit))


def _runs_of(fit: FitResult) -> Table:
    """The runs that a fit holds as a table; without FLOPs of their own they are 6ND."""
    used = fit.used
    c = used["c"] if "c" in used else 6 * used["n"] * used["d"]
    columns = {role: axis.column for role, axis in fit.axes.items()}
    labels = {role: axis.unit for role, axis in fit.axes.items()}
    frame = pd.DataFrame({columns[role]: used[role] for role in columns})
    return Table(
        frame=frame.assign(run_id=used["run"], **{columns.get("c", "train_flops_6nd"): c}),
        excluded=fit.excluded,
        columns={"c": "train_flops_6nd"} | columns,
        labels={"c": LABELS["train_flops_6nd"]} | labels,
    )


def _draw_frontier(ax: Axes, result: FrontierResult) -> pd.DataFrame:
    """The best size at each FLOPs, bold where it is bracketed, and the fitted line."""
    flops, size = (result.points[c].to_numpy(float) for c in ("train_flops", "params_opt"))
    bracketed = result.points["bracketed"].to_numpy(bool)
    ax.plot(flops, size, linestyle=":", color=INK, linewidth=0.8)
    ax.plot(flops, np.where(bracketed, size, np.nan), color=INK)
    ends = np.asarray(result.flops_range)
    line = arm_marks(["line"])["line"]
    ax.plot(ends, result.params_opt(ends), color=line.colour, linestyle=line.line)
    ax.set_yscale("log")
    ax.set_ylabel(result.labels["n"])
    log_x(ax, result.labels["c"], flops)
    log_ticks(ax, "y", size)
    return stack(
        [
            points("envelope", "best size", flops, size),
            points("line", "fit", ends, result.params_opt(ends)),
        ]
    )


def _draw_holdout(ax: Axes, result: HoldoutResult) -> pd.DataFrame:
    """Error of prediction per law, in percent, over the FLOPs from which runs are predicted."""
    starts = np.array([split.predicted_from_flops for split in result.splits])
    marks = arm_marks(result.ranking["law"])
    parts = []
    for law, some in result.errors.groupby("law", sort=False):
        mark = marks[str(law)]
        x, y = starts[some["cut"].to_numpy(int)], 100 * some["error"].to_numpy(float)
        ax.plot(x, y, color=mark.colour, linestyle=mark.line, marker=mark.marker, label=str(law))
        parts.append(points(str(law), "error", x, y))
    ax.set_ylim(bottom=0.0)
    ax.set_ylabel("mean error of predicted loss, %")
    ax.set_xscale("log")
    ax.set_xlabel("training FLOPs from which runs are predicted")
    ax.legend()
    return stack(parts)


def _draw_comparison(ax: Axes, result: Comparison) -> pd.DataFrame:
    """Differences of the exponent a per group and approach, with a line at none."""
    rows = []
    for x in result.differences:
        if x.estimate is None:
            continue
        box = x.estimate.interval
        rows.append(ForestRow(
            label=f"{x.group}\n{x.approach}", series=x.group, value=x.estimate.value,
            low=box.low if box else None, high=box.high if box else None,
            doubt="" if x.is_sound else "in doubt",
        ))  # fmt: skip
    if not rows:
        raise AnalysisError("no approach gives a difference to draw; summary() says why")
    marks = arm_marks(result.groups)
    label = f"a − a({result.reference}) in N* ∝ C^a"
    return draw_forest(ax, rows, marks, x_label=label, reference=0.0)


_DRAW: Mapping[type, Callable[[Axes, Any], pd.DataFrame]] = {
    FitResult: _draw_fit,
    IsoflopResult: draw_isoflop,
    FrontierResult: _draw_frontier,
    HoldoutResult: _draw_holdout,
    Comparison: _draw_comparison,
    Table: draw_loss_over_flops,
}
