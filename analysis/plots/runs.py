"""Figures of the runs themselves: training curves, their envelope, bits per byte of all arms."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.envelope import Envelope
from analysis.errors import AnalysisError
from analysis.plots.canvas import claim_yardstick, log_loss, log_x, note, points, stack, wrapped
from analysis.style import FAINT, INK, PAPER, Mark, count, in_legend, ramp_marks
from analysis.table import Table


def draw_curves(ax: Axes, table: Table) -> pd.DataFrame:
    """Loss over tokens processed, one curve per run of one arm, coloured by size.

    The last reading carries the marker; readings before it are taken at the learning rate of
    that moment and enter no fit.

    Raises:
        YardstickError: the runs have several kinds of loss.
        AnalysisError: the table has no curves.
    """
    curves = _validation(table.curves())
    if not table.has_readings:
        raise AnalysisError(
            f"{table.columns['loss']} is known of the end of a run alone; take the token loss"
        )
    claim_yardstick(ax, curves["loss_kind"])
    n_column = table.columns["n"]
    marks = ramp_marks(curves[n_column])
    parts, named = [], in_legend(curves[n_column])
    # Small models first, so that the legend stands in the order of size.
    curves = curves.sort_values([n_column, "run_id", "train_tokens"], kind="stable")
    for run_id, curve in curves.groupby("run_id", sort=False):
        params = curve[n_column].iloc[0]
        mark = marks[params]
        x, y = curve["train_tokens"].to_numpy(float), curve["loss_nats"].to_numpy(float)
        ax.plot(x, y, color=mark.colour, linestyle=mark.line, linewidth=1.1, marker=mark.marker,
                markevery=[-1], label=count(params) if params in named else None)  # fmt: skip
        named.discard(params)
        parts.append(points(str(run_id), "reading", x, y, note=f"N = {params:.0f}"))
    data = stack(parts)
    log_x(ax, table.labels.get("train_tokens", "training tokens"), data["x"])
    log_loss(ax)
    ax.legend(title=wrapped(table.labels["n"]), title_fontsize=7.5, ncols=2, loc="best")
    return data


def draw_loss_over_flops(ax: Axes, table: Table, envelope: Envelope | None = None) -> pd.DataFrame:
    """Loss over training FLOPs of one arm: the runs by size, and their lower envelope.

    Args:
        envelope: the part that sizes on both sides bracket is drawn solid.
    Raises:
        YardstickError: the runs have several kinds of loss.
    """
    claim_yardstick(ax, table.frame["loss_kind"])
    n, c, loss = (table.values(role) for role in ("n", "c", "loss"))
    parts = _draw_envelope(ax, envelope) if envelope else []
    named = in_legend(n)
    for params, mark in ramp_marks(n).items():
        rows = n == params
        ax.plot(c[rows], loss[rows], linestyle="none", marker=mark.marker, color=mark.colour,
                label=count(params) if params in named else None)  # fmt: skip
        runs = table.frame["run_id"].to_numpy()[rows]
        parts.append(points(f"N = {params:.0f}", "run", c[rows], loss[rows], note=runs))
    data = stack(parts)
    log_x(ax, table.labels["c"], data["x"])
    log_loss(ax)
    ax.legend(title=wrapped(table.labels["n"]), title_fontsize=7.5, ncols=2, loc="best")
    return data


def _draw_envelope(ax: Axes, envelope: Envelope) -> list[pd.DataFrame]:
    """The lower envelope, thinned to what a line needs."""
    kept = np.unique(np.linspace(0, len(envelope.points) - 1, 300).round().astype(int))
    points_of = envelope.points.iloc[kept]
    x, y = (points_of[name].to_numpy(float) for name in ("train_flops", "loss"))
    bracketed = points_of["bracketed"].to_numpy(bool)
    ax.plot(x, y, color=FAINT, linewidth=0.9, linestyle=(0, (2, 2)))
    ax.plot(x, np.where(bracketed, y, np.nan), color=INK, linewidth=1.6,
            label="lower envelope" if bracketed.any() else None)  # fmt: skip
    kind = np.where(bracketed, "between sizes", "at the smallest or largest size")
    return [points("envelope", "envelope", x, y, note=kind)]


def _validation(curves: pd.DataFrame) -> pd.DataFrame:
    """Readings of the fixed validation set; of training where there are none."""
    fixed = curves[curves["split"] == "validation"]
    return fixed if len(fixed) else curves


def draw_bits_per_byte(
    ax: Axes, runs: pd.DataFrame, marks: dict[str, Mark], *, c: str, c_label: str
) -> pd.DataFrame:
    """Bits per byte over FLOPs, all arms on one axis: the yardstick that they share.

    Exact values are filled; an upper bound is hollow and its arrow points to where the truth
    may lie.
    """
    claim_yardstick(ax, ["bits_per_byte"])
    parts = []
    known = runs[runs["bits_per_byte"].notna()]
    for group, rows in known.groupby("group", sort=False):
        for kind, part in rows.groupby("bits_per_byte_kind", sort=True):
            bound = kind == "upper_bound"
            mark = marks[str(group)]
            x, y = part[c].to_numpy(float), part["bits_per_byte"].to_numpy(float)
            if bound:
                ax.errorbar(x, y, yerr=0.05 * y, uplims=True, linestyle="none", ecolor=mark.colour,
                            elinewidth=0.8, capsize=2)  # fmt: skip
            ax.plot(x, y, linestyle="none", marker=mark.marker, color=mark.colour,
                    markerfacecolor=PAPER if bound else mark.colour,
                    label=f"{group} ({'≤, upper bound' if bound else 'exact'})")  # fmt: skip
            parts.append(points(str(group), str(kind), x, y, note=part["run_id"].to_numpy()))
    data = stack(parts)
    log_x(ax, c_label, data["x"])
    log_loss(ax)
    ax.legend(loc="best")
    if (data["element"] == "upper_bound").any():
        note(ax, "hollow with arrow: the true value lies at or below")
    return data
