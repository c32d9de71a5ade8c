"""Figures of compute-optimal training: isoFLOP profiles, and N* and D* over C."""

from __future__ import annotations

import math
import weakref
from collections.abc import Collection
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.budgets import budgets_of, profiles_of
from analysis.isoflop_result import BudgetFit, IsoflopResult, RefusedBudget
from analysis.plots.canvas import (
    below,
    claim_yardstick,
    log_loss,
    log_ticks,
    log_x,
    on_log,
    points,
    room_above,
    stack,
    wrapped,
)
from analysis.style import INK, PAPER, Mark, flops, in_legend, printed, ramp_marks
from analysis.table import Table

Role = Literal["params", "tokens"]

# Rows of a legend in points, and what a panel has of them: legends get room of their own.
_ROW_POINTS, _PANEL_POINTS = 13.0, 165.0
# Factor beyond the measured optima up to which a band is shown.
_REACH = 1e3
_LEGEND_COLUMNS = 3
# Budgets named per reason of refusal, and reasons named below a panel.
_MAX_NAMED = 3
_MAX_REMARKS = 3


def draw_isoflop(ax: Axes, result: IsoflopResult) -> pd.DataFrame:
    """Loss over N, one profile per budget, its minimum a star with the interval of N*.

    A budget without a usable minimum is hollow, and the reason stands below the axis.
    """
    claim_yardstick(ax, [result.yardstick])
    marks = ramp_marks([b.flops for b in result.budgets] + [b.flops for b in result.refused])
    named = in_legend(marks)
    parts = []
    for fit in result.budgets:
        parts += _draw_used(ax, fit, marks[fit.flops], fit.flops in named)
    for refused in result.refused:
        parts += _draw_refused(ax, refused, marks[refused.flops], refused.flops in named)
    data = stack(parts)
    log_x(ax, result.labels["n"], data["x"])
    log_loss(ax)
    _legend_by_budget(ax, named, len(marks))
    below(ax, _refusals(result))
    return data


def draw_unfitted(ax: Axes, table: Table, reason: str) -> pd.DataFrame:
    """The profiles of an arm of which too few have a minimum: all hollow, the reason below.

    Raises:
        YardstickError: the runs have several kinds of loss.
    """
    claim_yardstick(ax, table.frame["loss_kind"])
    profiles = profiles_of(table, budgets_of(table))
    marks = ramp_marks(profile.flops for profile in profiles)
    named = in_legend(marks)
    parts = []
    for profile in profiles:
        refused = RefusedBudget(
            flops=profile.flops, n_sizes=len(profile.log_n), n_runs=int(profile.repeats.sum()),
            reason=reason, params=np.exp(profile.log_n), losses=profile.loss,
        )  # fmt: skip
        parts += _draw_refused(ax, refused, marks[profile.flops], profile.flops in named)
    data = stack(parts)
    log_x(ax, table.labels["n"], data["x"])
    log_loss(ax)
    _legend_by_budget(ax, named, len(marks))
    below(ax, [reason])
    return data


def _legend_by_budget(ax: Axes, named: Collection[float], n_budgets: int) -> None:
    """Entries in the order of the budgets, used and refused ones alike."""
    handles, labels = ax.get_legend_handles_labels()
    by_label = dict(zip(labels, handles, strict=True))
    order = [flops(budget) for budget in sorted(named)]
    _room_for(ax, 1 + math.ceil(len(order) / _LEGEND_COLUMNS))
    title = "training FLOPs" + (f", {n_budgets} budgets" if len(named) < n_budgets else "")
    ax.legend([by_label[label] for label in order], order, title=title, title_fontsize=7.5,
              loc="upper right", ncols=_LEGEND_COLUMNS, columnspacing=1.0)  # fmt: skip


def _room_for(ax: Axes, rows: int) -> None:
    """Room above the drawing for the rows of a legend, on a logarithmic y axis."""
    taken = (rows * _ROW_POINTS + 4) / _PANEL_POINTS
    room_above(ax, taken / (1 - taken))


def _refusals(result: IsoflopResult) -> list[str]:
    """One remark per reason; the report card of the fit has a line per budget."""
    by_reason: dict[str, list[float]] = {}
    for budget in result.refused:
        by_reason.setdefault(budget.reason, []).append(budget.flops)
    remarks = []
    for reason, budgets in by_reason.items():
        named = ", ".join(flops(b) for b in budgets[:_MAX_NAMED])
        rest = f" and {len(budgets) - _MAX_NAMED} more" if len(budgets) > _MAX_NAMED else ""
        remarks.append(f"refused {named}{rest}: {reason}")
    if len(remarks) > _MAX_REMARKS:
        more = f"{len(remarks) - _MAX_REMARKS + 1} more reasons: see the data of this figure"
        remarks = [*remarks[: _MAX_REMARKS - 1], more]
    return remarks


def _draw_used(ax: Axes, budget: BudgetFit, mark: Mark, is_named: bool) -> list[pd.DataFrame]:
    series = flops(budget.flops)
    log_n = np.linspace(np.log(budget.params.min()), np.log(budget.params.max()), 80)
    n, loss = np.exp(log_n), np.asarray(budget.curve(log_n))
    ax.plot(n, loss, color=mark.colour, linestyle=mark.line, linewidth=1.2)
    ax.plot(budget.params, budget.losses, color=mark.colour, marker=mark.marker,
            linestyle="none", label=series if is_named else None)  # fmt: skip
    low, high = (budget.params_interval.low, budget.params_interval.high) if (
        budget.params_interval
    ) else (np.nan, np.nan)  # fmt: skip
    ax.plot([low, high], [budget.loss_opt] * 2, color=INK, linewidth=1.0, marker="|", markersize=5)
    ax.plot([budget.params_opt], [budget.loss_opt], marker="*", markersize=11, color=mark.colour,
            markeredgecolor=INK, markeredgewidth=0.8, zorder=5)  # fmt: skip
    return [
        points(series, "run", budget.params, budget.losses),
        points(series, "profile", n, loss),
        points(series, "minimum", [budget.params_opt], [budget.loss_opt], low=low, high=high,
               note="low and high are the interval of N*"),
    ]  # fmt: skip


def _draw_refused(
    ax: Axes, budget: RefusedBudget, mark: Mark, is_named: bool
) -> list[pd.DataFrame]:
    series = flops(budget.flops)
    ax.plot(budget.params, budget.losses, color=mark.colour, marker=mark.marker,
            markerfacecolor=PAPER, linestyle=(0, (1, 3)), linewidth=0.8,
            label=series if is_named else None)  # fmt: skip
    return [points(series, "refused", budget.params, budget.losses, note=budget.reason)]


def draw_optimal(
    ax: Axes,
    result: IsoflopResult,
    role: Role,
    series: str,
    mark: Mark,
    *,
    optima: pd.DataFrame | None = None,
    doubt: str = "",
) -> pd.DataFrame:
    """N* or D* over C: the minima with intervals, their power law, the surface fit with its band.

    Counts are no loss: the arms of a study may share this axis, one call each.

    Args:
        optima: optima of a law in N and D along C (`analysis.arm.optima_along`), the second
            opinion: a dotted line with its band.
        doubt: draws the minima hollow and stands beside the exponent.
    """
    name, opt, axis = {"params": ("a", "N*", "n"), "tokens": ("b", "D*", "d")}[role]
    c = np.array([budget.flops for budget in result.budgets])
    opts = np.array([getattr(budget, f"{role}_opt") for budget in result.budgets])
    grid = np.geomspace(c.min() / 1.5, c.max() * 1.5, 25)
    line = result.params_opt(grid) if role == "params" else result.tokens_opt(grid)
    parts = [_draw_band(ax, optima, role, series, mark)] if optima is not None else []
    ax.plot(grid, line, color=mark.colour, linestyle=mark.line)
    low, high = _intervals(result, role)
    ax.vlines(c, low, high, color=mark.colour, linewidth=1.2)
    face = PAPER if doubt else mark.colour
    ax.plot(c, opts, color=mark.colour, marker=mark.marker, linestyle="none", markersize=6,
            markerfacecolor=face)  # fmt: skip
    said = f"{series}: {name} = {printed(result.exponents[name])}" + (f"  {doubt}" if doubt else "")
    ax.plot([], [], color=mark.colour, linestyle=mark.line, marker=mark.marker,
            markerfacecolor=face, label=said)  # fmt: skip
    parts += [
        points(series, "power law of the minima", grid, line),
        points(series, "isoFLOP minimum", c, opts, low=low, high=high),
    ]
    data = stack(parts)
    ax.set_yscale("log")
    _show_all(ax, np.concatenate([opts, line, low[np.isfinite(low)], high[np.isfinite(high)]]))
    ax.set_ylabel(wrapped(f"{opt}, {result.labels[axis]}"))
    log_x(ax, result.labels["c"], grid)
    log_ticks(ax, "y", np.asarray(ax.get_ylim()))
    ax.legend(loc="upper left")
    return data


# What the arms drawn so far have measured on an Axes.
_measured: weakref.WeakKeyDictionary[Axes, tuple[float, float]] = weakref.WeakKeyDictionary()


def _show_all(ax: Axes, measured: np.ndarray) -> None:
    """Shows every arm's minima and intervals, and of the bands what lies near them.

    A band is cut where a law without an optimum would flatten all that was measured.
    """
    low, high = _measured.get(ax, (np.inf, 0.0))
    low, high = min(low, float(measured.min())), max(high, float(measured.max()))
    _measured[ax] = (low, high)
    bottom, top = ax.dataLim.minposy, ax.dataLim.ymax
    bottom, top = max(min(bottom, low), low / _REACH), min(max(top, high), high * _REACH)
    margin = (top / bottom) ** 0.04
    ax.set_ylim(bottom / margin, top * margin)
    _room_for(ax, len(ax.get_legend_handles_labels()[1]))


def _intervals(result: IsoflopResult, role: Role) -> tuple[np.ndarray, np.ndarray]:
    """Interval of N* per budget; D* carries the mirrored one, since N x D is the budget's."""
    low, high = (
        np.array([
            getattr(b.params_interval, end) if b.params_interval else np.nan
            for b in result.budgets
        ])
        for end in ("low", "high")
    )  # fmt: skip
    if role == "params":
        return low, high
    ends = [
        np.exp(np.interp(np.log([high[i], low[i]]), np.log(b.params), np.log(b.tokens)))
        for i, b in enumerate(result.budgets)
    ]
    return np.array([e[0] for e in ends]), np.array([e[1] for e in ends])


def _draw_band(ax: Axes, optima: pd.DataFrame, role: Role, series: str, mark: Mark) -> pd.DataFrame:
    """The fitted surface's optimum along C with its 95 % band."""
    c, value, low, high = (
        on_log(optima[name]) for name in ("flops", role, f"{role}_low", f"{role}_high")
    )
    ax.fill_between(c, low, high, color=mark.colour, alpha=0.16, linewidth=0)
    ax.plot(c, value, color=mark.colour, linewidth=1.1, linestyle=(0, (1, 1.5)))
    return points(series, "optimum of the fitted law", c, value, low=low, high=high)
