"""Axes with one yardstick each, figures of small multiples, and their files."""

from __future__ import annotations

import io
import math
import textwrap
import weakref
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from analysis.errors import AnalysisError
from analysis.style import FAINT, GRID, INK, PAPER, count, loss_label, power_of_ten

# Columns of every figure's data: what is drawn, in the order in which it is drawn.
COLUMNS = ("panel", "series", "element", "x", "y", "low", "high", "note")

PANEL_INCHES = (4.2, 3.15)

# Any: the type of rc_context is a Literal of every setting.
_RC: Any = {
    "font.family": ["DejaVu Sans"],
    "font.size": 8.5,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8.5,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.facecolor": PAPER,
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "text.color": INK,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.5,
    "lines.markersize": 4.5,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "legend.handlelength": 2.6,
    # Text stays text (searchable, and read aloud); ids depend on the content alone.
    "svg.fonttype": "none",
    "svg.hashsalt": "scaling",
    "savefig.dpi": 200,
}


class YardstickError(AnalysisError):
    """Two losses that may not be compared were asked onto one axis."""


_yardsticks: weakref.WeakKeyDictionary[Axes, str] = weakref.WeakKeyDictionary()


def claim_yardstick(ax: Axes, loss_kinds: Iterable[str]) -> str:
    """Reserves the y axis for one kind of loss and labels it.

    Raises:
        YardstickError: there are several kinds, or the axis already carries another.
    """
    kinds = dict.fromkeys(loss_kinds)
    if before := _yardsticks.get(ax):
        kinds = dict.fromkeys([before, *kinds])
    if len(kinds) != 1:
        raise YardstickError(
            f"losses {', '.join(kinds) or '(none)'} on one axis: their zero points differ, so an "
            "axis carries one yardstick; draw one panel per arm (--by), or bits per byte"
        )
    (kind,) = kinds
    _yardsticks[ax] = kind
    # On two lines: the name of the yardstick is longer than a panel is high.
    ax.set_ylabel(loss_label(kind).replace(", ", ",\n", 1))
    return kind


@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    """One Axes of a figure.

    Attributes:
        name: part of a file name and of element ids: letters, digits, `-`.
        draw: draws on the given Axes and returns what it drew, with the columns `COLUMNS`.
        alt: what a reader who does not see the drawing is told.
    """

    name: str
    title: str
    alt: str
    draw: Callable[[Axes], pd.DataFrame]
    inches: tuple[float, float] = PANEL_INCHES


def points(series: str, element: str, x: Any, y: Any, **more: Any) -> pd.DataFrame:
    """Rows of one series: `x`, `y` and, if given, `low`, `high`, `note`, one value each."""
    frame = pd.DataFrame({"series": series, "element": element, "x": x, "y": y, **more})
    return frame.reindex(columns=list(COLUMNS))


def stack(parts: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Series of a drawing under each other, in the common columns."""
    filled = [part for part in parts if len(part)]
    if not filled:
        return pd.DataFrame(columns=list(COLUMNS))
    # An empty column (no interval, no note) has no say in the type of the others'.
    kept = [part.dropna(axis="columns", how="all") for part in filled]
    return pd.concat(kept, ignore_index=True).reindex(columns=list(COLUMNS))


def render(panels: Sequence[Panel]) -> tuple[Figure, pd.DataFrame]:
    """Draws panels side by side, two to a row at most, and collects their data."""
    columns = min(2, len(panels))
    rows = math.ceil(len(panels) / columns)
    width, height = panels[0].inches
    with mpl.rc_context(_RC):
        figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
        tables = []
        for i, panel in enumerate(panels):
            ax = figure.add_subplot(rows, columns, i + 1)
            ax.set_title(panel.title)
            tables.append(panel.draw(ax).assign(panel=panel.name))
    return figure, stack(tables)


def save_figure(figure: Figure, data: pd.DataFrame, folder: Path, name: str) -> list[Path]:
    """Writes NAME.svg, NAME.png and the drawn numbers as NAME.csv; equal input, equal bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.{suffix}" for suffix in ("svg", "png", "csv")]
    paths[0].write_text(svg_text(figure), encoding="utf-8")
    with mpl.rc_context(_RC):
        figure.savefig(paths[1], metadata={"Software": None})
    data.to_csv(paths[2], index=False)
    return paths


def svg_text(figure: Figure) -> str:
    """The figure as SVG without a date or any metadata."""
    buffer = io.StringIO()
    with mpl.rc_context(_RC):
        figure.savefig(
            buffer,
            format="svg",
            metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
        )
    return buffer.getvalue()


def log_x(ax: Axes, label: str, values: Iterable[float]) -> None:
    """A logarithmic x axis with few, legible ticks."""
    ax.set_xscale("log")
    ax.set_xlabel(label)
    log_ticks(ax, "x", values, is_flops="FLOPs" in label)


def on_log(values: Iterable[float]) -> np.ndarray:
    """The values, NaN where a logarithmic axis has no place for them."""
    numbers = np.asarray(list(values), dtype=float)
    return np.where(np.isfinite(numbers) & (numbers > 0), numbers, np.nan)


def log_ticks(ax: Axes, which: str, values: Iterable[float], *, is_flops: bool = False) -> None:
    """Ticks of a logarithmic axis: powers of ten, or 1-2-5 where it spans little.

    Counts carry letters (1.2M), FLOPs powers of ten.
    """
    axis = ax.xaxis if which == "x" else ax.yaxis
    finite = np.asarray([value for value in values if value > 0 and math.isfinite(value)])
    decades = math.log10(finite.max() / finite.min()) if finite.size else 1.0
    subs = (1.0,) if decades > 2.5 else (1.0, 3.0) if decades > 1.4 else (1.0, 2.0, 5.0)
    axis.set_major_locator(LogLocator(subs=subs, numticks=8))
    axis.set_minor_formatter(NullFormatter())
    large = bool(finite.size) and float(finite.max()) >= 1e12
    axis.set_major_formatter(FuncFormatter(_power_tick if is_flops or large else _count_tick))


def _count_tick(value: float, _: object = None) -> str:
    return count(float(f"{value:.6g}"))


def _power_tick(value: float, _: object = None) -> str:
    if value <= 0:
        return ""
    exponent = math.floor(math.log10(value) + 1e-9)
    mantissa = value / 10**exponent
    if abs(mantissa - 1) < 1e-6:
        return power_of_ten(exponent)
    return f"{mantissa:g}·{power_of_ten(exponent)}"


def log_loss(ax: Axes) -> None:
    """A logarithmic loss axis with round numbers: a power law is a line, its floor a bend."""
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.4g}"))
    ax.yaxis.set_minor_locator(NullLocator())


def room_above(ax: Axes, share: float) -> None:
    """Raises the upper end of a logarithmic y axis by a share of its length."""
    low, high = ax.get_ylim()
    ax.set_ylim(low, high * (high / low) ** share)


def note(ax: Axes, text: str, *, corner: str = "lower left") -> None:
    """A remark in a corner of the Axes, faint."""
    vertical, horizontal = corner.split()
    ax.text(
        0.02 if horizontal == "left" else 0.98,
        0.03 if vertical == "lower" else 0.97,
        text,
        transform=ax.transAxes,
        ha="left" if horizontal == "left" else "right",
        va="bottom" if vertical == "lower" else "top",
        fontsize=7,
        color=FAINT,
        linespacing=1.35,
    )


def wrapped(text: str, width: int = 42) -> str:
    """A label on several lines: some columns of a foreign table have long names."""
    return "\n".join(textwrap.wrap(text, width))


def below(ax: Axes, remarks: Sequence[str]) -> None:
    """Remarks under the x label, one per line, wrapped to the width of the Axes."""
    lines = [line for remark in remarks for line in textwrap.wrap(remark, 74)]
    if lines:
        ax.annotate(
            "\n".join(lines), (0, 0), xycoords="axes fraction", xytext=(-30, -34),
            textcoords="offset points", va="top", fontsize=7, color=FAINT, annotation_clip=False,
        )  # fmt: skip
