"""Figures of a fit: its residuals, and exponents with their intervals side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from analysis.budgets import budgets_of
from analysis.multiplier_result import Multiplier
from analysis.plots.canvas import log_ticks, log_x, note, on_log, points, stack, wrapped
from analysis.result import FitResult
from analysis.style import FAINT, INK, PAPER, Mark, flops, in_legend, interval, ramp_marks
from analysis.table import Table


def draw_residuals(ax: Axes, fit: FitResult, table: Table) -> pd.DataFrame:
    """Loss over fitted loss, in percent, over N; runs of one budget share mark and colour.

    The budgets are those of the table's grid (`analysis.budgets`), in its own count of FLOPs.

    A good fit scatters about zero without a pattern; a bend says that the law's form is wrong,
    an outlying size that its learning rate was not tuned.
    """
    used = fit.used
    role = "n" if "n" in used else "c"
    x = used[role].to_numpy(float)
    y = 100 * np.expm1(used["residual"].to_numpy(float))
    budgets = _budgets(used, table)
    named = in_legend(budgets)
    ax.axhline(0.0, color=INK, linewidth=0.8)
    spread = float(np.sqrt(np.mean(y**2)))
    ax.axhspan(-spread, spread, color=FAINT, alpha=0.12, linewidth=0)
    parts = [points("spread", "root mean square", [np.nan], [0.0], low=-spread, high=spread)]
    for budget, mark in ramp_marks(budgets).items():
        rows = budgets == budget
        ax.plot(x[rows], y[rows], linestyle="none", marker=mark.marker, color=mark.colour,
                label=flops(budget) if budget in named else None)  # fmt: skip
        runs = used["run"].to_numpy()[rows]
        parts.append(points(flops(budget), "run", x[rows], y[rows], note=runs))
    ax.set_ylabel("measured / fitted loss − 1, %")
    ax.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]))
    limit = max(float(np.abs(y).max()), 1e-3)
    # Room above for the legend and below for the note.
    ax.set_ylim(-1.3 * limit, 1.8 * limit)
    log_x(ax, table.labels[role], x)
    total = len(np.unique(budgets))
    title = "budget, " + table.labels["c"] + (f", {total} budgets" if total > len(named) else "")
    ax.legend(loc="upper right", ncols=3, columnspacing=1.0, title=wrapped(title),
              title_fontsize=7.5)  # fmt: skip
    note(ax, f"band: ± root mean square, {spread:.2g} %")
    return stack(parts)


def _budgets(used: pd.DataFrame, table: Table) -> np.ndarray:
    """The budget of each fitted run, by its name in the table."""
    known = dict(zip(table.frame["run_id"].astype(str), budgets_of(table), strict=True))
    return np.array([known[str(run)] for run in used["run"]])


# An interval is drawn up to this many times the median width to each side of its estimate.
_CUT_WIDTH = 4.0


@dataclass(frozen=True, kw_only=True, slots=True)
class ForestRow:
    """One line of a forest plot; `doubt` draws it hollow and stands beside it."""

    label: str
    series: str
    value: float
    low: float | None = None
    high: float | None = None
    doubt: str = ""


def draw_forest(
    ax: Axes,
    rows: Sequence[ForestRow],
    marks: dict[str, Mark],
    *,
    x_label: str,
    reference: float | None = None,
) -> pd.DataFrame:
    """Estimates with 95 % intervals under each other, the numbers written beside them.

    Args:
        reference: a value to compare with, drawn as a vertical line (0 for a difference).
    """
    low, high = _span(rows, [] if reference is None else [reference])
    if reference is not None:
        ax.axvline(reference, color=FAINT, linewidth=1.0, linestyle=(0, (2, 2)))
    for i, row in enumerate(rows):
        _forest_row(ax, -float(i), row, marks[row.series], low, high)
    ax.set_xlim(low, high)
    ax.set_ylim(-len(rows) + 0.35, 0.75)
    ax.set_yticks([-i for i in range(len(rows))], [row.label for row in rows])
    ax.tick_params(axis="y", length=0)
    ax.grid(False, axis="y")
    ax.spines["left"].set_visible(False)
    ax.set_xlabel(x_label)
    return stack(
        points(row.series, row.label, [row.value], [-float(i)], low=row.low, high=row.high,
               note=row.doubt)
        for i, row in enumerate(rows)
    )  # fmt: skip


def _span(rows: Sequence[ForestRow], more: Sequence[float]) -> tuple[float, float]:
    """Axis limits; an interval many times as wide as the others is cut, so as not to hide them."""
    limit = _CUT_WIDTH * _usual_width(rows)
    kept = [row.value for row in rows] + list(more)
    for row in rows:
        if row.low is not None and row.high is not None:
            kept += [max(row.low, row.value - limit), min(row.high, row.value + limit)]
    margin = 0.06 * (max(kept) - min(kept)) + 1e-6
    return min(kept) - margin, max(kept) + margin


def _usual_width(rows: Sequence[ForestRow]) -> float:
    """Median width of the intervals; of their sides, doubled, where every one has an open end."""
    known = [row for row in rows if row.low is not None and row.high is not None]
    widths = [row.high - row.low for row in known]  # type: ignore[operator]
    sides = [2 * (row.value - row.low) for row in known]  # type: ignore[operator]
    sides += [2 * (row.high - row.value) for row in known]  # type: ignore[operator]
    for found in (widths, sides):
        finite = [x for x in found if np.isfinite(x)]
        if finite:
            return float(np.median(finite))
    return 0.1 * max(abs(row.value) for row in rows)


def _forest_row(ax: Axes, y: float, row: ForestRow, mark: Mark, low: float, high: float) -> None:
    if row.low is not None and row.high is not None:
        left, right = max(row.low, low), min(row.high, high)
        ax.plot([left, right], [y, y], color=mark.colour, linestyle=mark.line, linewidth=2.0)
        for end, cut, arrow in ((left, row.low < low, "<"), (right, row.high > high, ">")):
            ax.plot([end], [y], color=mark.colour, marker=arrow if cut else "|", markersize=7,
                    clip_on=False)  # fmt: skip
    ax.plot([row.value], [y], color=mark.colour, marker=mark.marker, markersize=7,
            markerfacecolor=PAPER if row.doubt else mark.colour)  # fmt: skip
    text = interval(row.value, row.low, row.high) + (f"  {row.doubt}" if row.doubt else "")
    place = (row.value - low) / (high - low)
    side = "left" if place < 0.25 else "right" if place > 0.75 else "center"
    ax.annotate(text, (row.value, y), xytext=(0, 8), textcoords="offset points", ha=side,
                fontsize=7.5)  # fmt: skip


def draw_multiplier(ax: Axes, found: Multiplier, mark: Mark, c_label: str) -> pd.DataFrame:
    """Compute of the reference over that of the group at equal loss, with its band, over C.

    Where the reference never reaches the loss the multiplier has no value and its line ends. A band
    without an end runs to the edge of the Axes, with hollow marks there.
    """
    value, low, high = map(on_log, (found.value, found.low, found.high))
    ax.axhline(1.0, color=INK, linewidth=0.8)
    ax.set_yscale("log")
    finite = np.concatenate([x[np.isfinite(x)] for x in (value, low, high)] + [[1.0]])
    room = (finite.max() / finite.min()) ** 0.12 * 1.2
    bottom, top = finite.min() / room, finite.max() * room
    no_high, no_low = ~np.isfinite(high), ~np.isfinite(low)
    ax.fill_between(
        found.flops, np.where(no_low, bottom, low), np.where(no_high, top, high),
        color=mark.colour, alpha=0.16, linewidth=0,
    )  # fmt: skip
    ax.plot(found.flops, value, color=mark.colour, linestyle=mark.line)
    for is_open, edge, arrow in ((no_high, 1.0, "^"), (no_low, 0.0, "v")):
        at = found.flops[is_open][:: max(1, int(is_open.sum()) // 6)]
        ax.plot(at, np.full(len(at), edge), transform=ax.get_xaxis_transform(), linestyle="none",
                marker=arrow, color=mark.colour, markerfacecolor=PAPER, clip_on=False)  # fmt: skip
    ax.set_ylim(bottom, top)
    ax.set_ylabel(f"compute of {found.reference} / compute of {found.group}")
    log_x(ax, c_label, found.flops)
    log_ticks(ax, "y", np.asarray(ax.get_ylim()))
    open_ends = np.where(no_high, "no upper end ", "").astype(object) + np.where(
        no_low, "no lower end", ""
    )
    return points(
        found.group, "multiplier", found.flops, value, low=low, high=high,
        note=[str(text).strip() or np.nan for text in open_ends],
    )  # fmt: skip
