"""Figures of question 1: score over pre-training FLOPs, and over the number of examples."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.plots.canvas import Panel, log_x, points, stack
from analysis.plots.drawing import slug
from analysis.questions.transfer_curve import LEVEL, fit_curve
from analysis.seeds import seed_mean
from analysis.style import FAINT, PAPER, Mark, arm_marks

_FLOPS = "train_flops"
_METRICS = {"accuracy": "accuracy", "f1": "F1", "spearman": "Spearman correlation"}
_LINES = (":", (0, (1, 3)), (0, (6, 3)))


def curve_panels(main: pd.DataFrame, base: pd.DataFrame) -> Iterator[Panel]:
    """A panel per data set: points, curves, untrained models and simple baselines."""
    marks = arm_marks(sorted(main["arm"].unique()))
    for (task, data), rows in main.groupby(["task", "data"], sort=True):
        ours = base[(base["task"] == task) & (base["data"] == data)]
        yield Panel(
            name=slug("flops", str(data)),
            title=f"{data} ({task})",
            alt=f"Test score on {data} over pre-training FLOPs, per arm, with simple baselines.",
            draw=partial(_draw_curves, rows=rows, base=ours, marks=marks),
        )


def label_panels(rows: pd.DataFrame, base: pd.DataFrame) -> Iterator[Panel]:
    """A panel per data set: score over the number of training examples."""
    marks = arm_marks(sorted(rows["arm"].unique()))
    for (task, data), part in rows.groupby(["task", "data"], sort=True):
        ours = base[(base["task"] == task) & (base["data"] == data)]
        yield Panel(
            name=slug("labels", str(data)),
            title=f"{data} ({task})",
            alt=f"Test score on {data} over training examples, with and without pre-training.",
            draw=partial(_draw_labels, rows=part, base=ours, marks=marks),
        )


def _draw_curves(
    ax: Axes, *, rows: pd.DataFrame, base: pd.DataFrame, marks: dict[str, Mark]
) -> pd.DataFrame:
    parts = []
    for name, arm in rows.groupby("arm", sort=True):
        mark, series = marks[str(name)], str(name)
        trained, untrained = arm[arm["train_tokens"] > 0], arm[arm["train_tokens"] == 0]
        if len(untrained):
            level = float(untrained["test"].mean())
            ax.axhline(level, color=mark.colour, linewidth=0.9, linestyle=mark.line, alpha=0.5)
            parts.append(points(series, "untrained", [0.0], [level]))
        if not len(trained):
            continue
        drawn = _means(trained, _FLOPS, series, "mean of seeds")
        _with_bars(ax, drawn, mark, label=series, hollow=False)
        parts.append(drawn)
        if trained[_FLOPS].nunique() > 1:
            fit = fit_curve(trained, untrained["test"].to_numpy(float), _FLOPS)
            x = np.geomspace(fit.curve.low, fit.curve.high, 60)
            draws = np.array([curve(x) for curve in fit.draws])
            low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
            ax.plot(x, fit.curve(x), color=mark.colour, linestyle=mark.line)
            ax.fill_between(x, low, high, color=mark.colour, alpha=0.15, linewidth=0)
            parts.append(points(series, "curve", x, fit.curve(x), low=low, high=high))
    for line, (_, row) in zip(_LINES, base.sort_values("test").iterrows(), strict=False):
        ax.axhline(row["test"], color=FAINT, linewidth=1.0, linestyle=line, label=row["baseline"])
        parts.append(points(str(row["baseline"]), "baseline", [0.0], [row["test"]]))
    data = stack(parts)
    log_x(ax, "pre-training FLOPs (exact)", data.loc[data["x"] > 0, "x"])
    _finish(ax, rows)
    return data


def _draw_labels(
    ax: Axes, *, rows: pd.DataFrame, base: pd.DataFrame, marks: dict[str, Mark]
) -> pd.DataFrame:
    parts = []
    for (name, is_trained), part in rows.groupby(["arm", rows["train_tokens"] > 0], sort=True):
        series = f"{name}{'' if is_trained else ', untrained'}"
        drawn = _means(part, "train_examples", series, "mean of seeds")
        mark = marks[str(name)]
        ax.plot(drawn["x"], drawn["y"], color=mark.colour, linestyle=mark.line if is_trained
                else ":", linewidth=1.2)  # fmt: skip
        _with_bars(ax, drawn, mark, label=series, hollow=not is_trained)
        parts.append(drawn)
    shown = base[base["train_examples"].isin(set(rows["train_examples"]))]
    for line, (name, part) in zip(_LINES, shown.groupby("baseline", sort=True), strict=False):
        part = part.sort_values("train_examples")
        ax.plot(part["train_examples"], part["test"], color=FAINT, linestyle=line, label=str(name))
        parts.append(points(str(name), "baseline", part["train_examples"], part["test"]))
    data = stack(parts)
    log_x(ax, "training examples", data["x"])
    _finish(ax, rows)
    return data


def _means(rows: pd.DataFrame, x: str, series: str, element: str) -> pd.DataFrame:
    places, means, lows, highs = [], [], [], []
    for place, part in rows.groupby(x, sort=True):
        found = seed_mean(part["test"].tolist(), name=series, unit="")
        box = found.interval
        places.append(float(str(place)))
        means.append(found.value)
        lows.append(box.low if box else np.nan)
        highs.append(box.high if box else np.nan)
    return points(series, element, places, means, low=lows, high=highs)


def _with_bars(ax: Axes, drawn: pd.DataFrame, mark: Mark, *, label: str, hollow: bool) -> None:
    y = drawn["y"].to_numpy(float)
    bars = np.nan_to_num(np.abs(drawn[["low", "high"]].to_numpy(float).T - y))
    ax.errorbar(
        drawn["x"], y, yerr=bars, linestyle="none", marker=mark.marker, color=mark.colour,
        markerfacecolor=PAPER if hollow else mark.colour, capsize=2, elinewidth=0.9, label=label,
    )  # fmt: skip


def _finish(ax: Axes, rows: pd.DataFrame) -> None:
    metric = str(rows["metric"].iloc[0])
    ax.set_ylabel(f"test {_METRICS.get(metric, metric)}")
    ax.set_ylim(bottom=min(0.0, ax.get_ylim()[0]))
    ax.legend(loc="best")
