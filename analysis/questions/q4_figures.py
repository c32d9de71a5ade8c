"""The figures of question 4: who solves which task on pairs, and what it does to MLM."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import pandas as pd
from matplotlib.axes import Axes

from analysis.plots.canvas import Panel, points, stack
from analysis.style import FAINT, GRID, arm_marks

_TASK_NAMES = {
    "nsp": "NSP,\nother documents",
    "nsp_same_document": "NSP,\nsame document",
    "sop": "SOP,\nswapped",
}
_BASELINES = {"tfidf": "TF-IDF", "unigram_overlap": "unigram overlap"}
_STYLES: tuple[Literal["-", ":"], ...] = ("-", ":")
_BOUNDS = {"optimum": "best possible", "optimum_topic": "best possible from topics alone"}


def figures(accuracies: pd.DataFrame, losses: pd.DataFrame) -> dict[str, tuple[Panel, ...]]:
    """The cross matrix with its baselines, bits per byte by arm, accuracies and the optimum."""
    found: dict[str, tuple[Panel, ...]] = {
        "q4_cross_matrix": (
            Panel(
                name="cross-matrix",
                title="Pair heads on each task",
                alt="accuracy of each arm's pair head on three tasks, beside word overlap",
                draw=lambda ax: _draw_accuracies(ax, accuracies, _BASELINES),
            ),
        ),
        "q4_bits_per_byte": (
            Panel(
                name="bits-per-byte",
                title="Code length of text by arm",
                alt="bits per byte of each arm, mean and interval over seeds",
                draw=lambda ax: _draw_bits(ax, losses),
            ),
        ),
    }
    if "optimum" in set(accuracies["reading"]):
        found["q4_optimum"] = (
            Panel(
                name="optimum",
                title="Pair heads and the best possible",
                alt="accuracy of each arm's pair head beside the best possible one",
                draw=lambda ax: _draw_accuracies(ax, accuracies, _BOUNDS),
            ),
        )
    return found


def _draw_accuracies(
    ax: Axes, accuracies: pd.DataFrame, references: dict[str, str]
) -> pd.DataFrame:
    drawn = []
    heads = accuracies[accuracies["reading"] == "head"]
    arms = list(dict.fromkeys(heads["arm"]))
    places = {task: place for place, task in enumerate(_TASK_NAMES)}
    for i, (arm, mark) in enumerate(arm_marks(arms).items()):
        rows = heads[heads["arm"] == arm]
        x = [places[task] + 0.12 * (i - (len(arms) - 1) / 2) for task in rows["task"]]
        _with_bars(ax, x, rows, colour=mark.colour, marker=mark.marker, label=arm)
        drawn.append(points(arm, "head", x, rows["mean"], low=rows["low"], high=rows["high"]))
    for (reading, label), style in zip(references.items(), _STYLES, strict=True):
        rows = accuracies[accuracies["reading"] == reading].drop_duplicates("task")
        x = [places[task] for task in rows["task"]]
        left, right = ([place + side for place in x] for side in (-0.4, 0.4))
        ax.hlines(rows["mean"], left, right, colors=FAINT, linestyles=style, label=label)
        drawn.append(points(label, "line", x, rows["mean"]))
    ax.axhline(0.5, color=GRID, zorder=0)
    ax.set_xticks(list(places.values()), list(_TASK_NAMES.values()))
    ax.set_ylabel("accuracy on validation pairs")
    # Room above all intervals.
    low, high = ax.get_ylim()
    ax.set_ylim(low, high + 0.45 * (high - low))
    ax.legend(loc="upper left", ncols=2)
    return stack(drawn)


def _draw_bits(ax: Axes, losses: pd.DataFrame) -> pd.DataFrame:
    rows = losses[losses["reading"] == "bits_per_byte"]
    drawn = []
    for place, (arm, mark) in enumerate(arm_marks(rows["arm"]).items()):
        one = rows[rows["arm"] == arm]
        _with_bars(ax, [place], one, colour=mark.colour, marker=mark.marker, label=arm)
        drawn.append(points(arm, "mean", [place], one["mean"], low=one["low"], high=one["high"]))
    ax.set_xticks(range(len(rows)), list(rows["arm"]), rotation=20)
    ax.set_ylabel("bits per byte of windows (upper bound)")
    return stack(drawn)


def _with_bars(
    ax: Axes, x: Sequence[float], rows: pd.DataFrame, *, colour: str, marker: str, label: str
) -> None:
    below, above = rows["mean"] - rows["low"], rows["high"] - rows["mean"]
    ax.errorbar(
        x, rows["mean"], yerr=[below.fillna(0), above.fillna(0)], color=colour, marker=marker,
        linestyle="none", capsize=2, label=label,
    )  # fmt: skip
