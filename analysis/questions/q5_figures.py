"""The figures of question 5: histograms, similarity over layers, sizes and tokens, the cures."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from analysis.plots.canvas import Panel, log_x, points, stack
from analysis.seeds import seed_mean
from analysis.style import FAINT, PAPER, Mark, arm_marks, count

CURE_NAMES = {
    "raw": "raw", "centred": "centred", "standardised": "standard-\nised", "whitened": "whitened",
    "without_1_direction": "without\n1 direction", "without_3_directions": "without\n3 directions",
}  # fmt: skip
_COSINE = "raw.cosine_mean"


def make_figures(
    frame: pd.DataFrame,
    histograms: pd.DataFrame,
    pooling: Mapping[str, str],
    size: str,
    tokens: int,
) -> dict[str, tuple[Panel, ...]]:
    """Name -> panels.

    Args:
        frame: as `cls_view.long_frame` gives it; histograms: as `cls_tables.histograms`.
        pooling: arm -> where its sentence vector is read, as `cls_view.own_pooling` gives it.
        size, tokens: of the models that the histograms and the cures are shown for.
    """
    marks = arm_marks(pooling)
    own = frame[frame["pooling"] == frame["arm"].map(pooling)]
    of_size = own[own["size"] == size]
    figures = {
        "similarity-histogram": tuple(
            _histogram_panel(histograms, marks, pooling, cure, size, tokens)
            for cure in ("raw", "centred")
        ),
        "similarity": (
            _panel(
                "layers", f"over layers ({size}, {count(tokens)} tokens; hollow: untrained)",
                lambda ax: _over_layers(ax, of_size, marks, tokens),
            ),
            _panel(
                "sizes", f"over sizes ({count(tokens)} tokens; hollow: untrained)",
                lambda ax: _over_sizes(ax, own[own["is_last"]], marks, tokens),
            ),
            _panel(
                "tokens", f"over training tokens ({size}; left: untrained)",
                lambda ax: _over_tokens(ax, of_size[of_size["is_last"]], marks),
            ),
        ),
    }  # fmt: skip
    last = frame[frame["is_last"] & (frame["size"] == size) & (frame["train_tokens"] == tokens)]
    made = [
        ("sts", "sts_spearman.{}", "STS Spearman"),
        ("documents", "{}.same_document", "neighbour of same document"),
    ]
    if "sts_spearman.raw" not in frame:
        made = made[1:]
    panels = [
        _panel(
            f"{name}-{kind}", f"{label} ({'[CLS], clm: last token' if kind == 'own' else 'mean'})",
            _cures_drawer(
                last[last["pooling"] == (last["arm"].map(pooling) if kind == "own" else "mean")],
                marks, column, label,
            ),
        )
        for name, column, label in made
        for kind in ("own", "mean")
    ]  # fmt: skip
    return figures | {"cures": tuple(panels)}


def _panel(name: str, title: str, draw: Callable[[Axes], pd.DataFrame]) -> Panel:
    return Panel(name=name, title=title, alt=title, draw=draw, inches=(4.6, 3.3))


def _histogram_panel(
    histograms: pd.DataFrame,
    marks: Mapping[str, Mark],
    pooling: Mapping[str, str],
    cure: str,
    size: str,
    tokens: int,
) -> Panel:
    chosen = histograms[(histograms["cure"] == cure) & (histograms["size"] == size)]

    def draw(ax: Axes) -> pd.DataFrame:
        parts = []
        for arm, mark in marks.items():
            for is_trained in (True, False):
                rows = chosen[
                    (chosen["arm"] == arm)
                    & (chosen["pooling"] == pooling[arm])
                    & (chosen["train_tokens"] == (tokens if is_trained else 0))
                ]
                if rows.empty:
                    continue
                x = (rows["low"] + rows["width"] / 2).to_numpy(float)
                share = (rows["pairs"] / rows["pairs"].sum()).to_numpy(float)
                name = arm if is_trained else f"{arm}, untrained"
                ax.step(
                    x, share, where="mid", color=mark.colour, label=name if is_trained else None,
                    linestyle=mark.line if is_trained else ":", alpha=1.0 if is_trained else 0.6,
                )  # fmt: skip
                parts.append(points(name, "share of pairs", x, share))
        ax.set_yscale("log")
        ax.set_ylim(1e-5, 1.5)
        ax.set_xlabel("cosine of two passages of different documents")
        ax.set_ylabel("share of pairs, per 0.025")
        ax.legend(loc="upper left")
        return stack(parts)

    what = "raw" if cure == "raw" else "centred"
    return _panel(cure, f"{what} ({size}, {count(tokens)} tokens; faint: untrained)", draw)


def _over_layers(
    ax: Axes, frame: pd.DataFrame, marks: Mapping[str, Mark], tokens: int
) -> pd.DataFrame:
    parts = []
    for name, mark in marks.items():
        for is_trained in (True, False):
            rows = frame[
                (frame["arm"] == name) & (frame["train_tokens"] == (tokens if is_trained else 0))
            ]
            parts.append(_line(ax, rows, "layer", name, mark, is_trained=is_trained))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("layer (0: embeddings)")
    return _finished(ax, parts)


def _over_sizes(
    ax: Axes, frame: pd.DataFrame, marks: Mapping[str, Mark], tokens: int
) -> pd.DataFrame:
    parts = []
    for name, mark in marks.items():
        for is_trained in (True, False):
            rows = frame[
                (frame["arm"] == name) & (frame["train_tokens"] == (tokens if is_trained else 0))
            ]
            parts.append(_line(ax, rows, "params_non_embedding", name, mark, is_trained=is_trained))
    log_x(ax, "parameters N (without embeddings)", frame["params_non_embedding"])
    return _finished(ax, parts)


def _over_tokens(ax: Axes, frame: pd.DataFrame, marks: Mapping[str, Mark]) -> pd.DataFrame:
    horizons = sorted(frame["train_tokens"].unique())
    place = {tokens: index for index, tokens in enumerate(horizons)}
    placed = frame.assign(place=frame["train_tokens"].map(place))
    parts = [
        _line(ax, placed[placed["arm"] == name], "place", name, mark, is_trained=True)
        for name, mark in marks.items()
    ]
    ax.set_xticks(
        range(len(horizons)), ["untrained" if not t else count(float(t)) for t in horizons]
    )
    ax.set_xlabel("training tokens")
    return _finished(ax, parts)


def _line(
    ax: Axes, rows: pd.DataFrame, x: str, name: str, mark: Mark, *, is_trained: bool
) -> pd.DataFrame:
    """The mean over seeds at each x, with its interval as a bar."""
    made = []
    for at, group in rows.groupby(x, sort=True):
        estimate = seed_mean(group[_COSINE].tolist(), name=name, unit="")
        low, high = (
            (estimate.interval.low, estimate.interval.high)
            if estimate.interval
            else (np.nan, np.nan)
        )
        made.append((float(str(at)), estimate.value, low, high))
    if not made:
        return points(name, "mean", [], [])
    at_x, y, low_y, high_y = (np.array(column) for column in zip(*made, strict=True))
    series = name if is_trained else f"{name}, untrained"
    ax.plot(
        at_x, y, color=mark.colour, marker=mark.marker, label=series if is_trained else None,
        linestyle=mark.line if is_trained else ":",
        markerfacecolor=mark.colour if is_trained else PAPER,
    )  # fmt: skip
    ax.vlines(at_x, low_y, high_y, color=mark.colour, linewidth=0.8)
    return points(series, "mean over seeds", at_x, y, low=low_y, high=high_y)


def _finished(ax: Axes, parts: list[pd.DataFrame]) -> pd.DataFrame:
    ax.axhline(0, color=FAINT, linewidth=0.8)
    ax.set_ylim(-0.2, 1.1)
    ax.set_ylabel("mean cosine of random pairs")
    ax.legend(loc="lower left", ncols=2)
    return stack(parts)


def _cures_drawer(
    frame: pd.DataFrame, marks: Mapping[str, Mark], column: str, label: str
) -> Callable[[Axes], pd.DataFrame]:
    def draw(ax: Axes) -> pd.DataFrame:
        parts = []
        shift = np.linspace(-0.24, 0.24, len(marks))
        for offset, (name, mark) in zip(shift, marks.items(), strict=True):
            rows = frame[frame["arm"] == name]
            made = []
            for index, cure in enumerate(CURE_NAMES):
                values = rows[column.format(cure)].dropna().tolist()
                if not values:
                    continue
                estimate = seed_mean(values, name=name, unit="")
                ends = estimate.interval
                low, high = (ends.low, ends.high) if ends else (np.nan, np.nan)
                made.append((index, estimate.value, low, high, cure))
            if not made:
                continue
            x, y, low_y, high_y, cures = (list(part) for part in zip(*made, strict=True))
            at = np.array(x) + offset
            ax.plot(at, y, color=mark.colour, marker=mark.marker, linestyle="none", label=name)
            ax.vlines(at, low_y, high_y, color=mark.colour, linewidth=0.8)
            parts.append(points(name, "mean over seeds", x, y, low=low_y, high=high_y, note=cures))
        ax.set_xticks(range(len(CURE_NAMES)), list(CURE_NAMES.values()), fontsize=6.5)
        ax.set_ylabel(label)
        # Above the panel: intervals may lie anywhere in it.
        ax.margins(y=0.05)
        low, high = ax.get_ylim()
        ax.set_ylim(low, high + 0.22 * (high - low))
        ax.legend(loc="upper left", ncols=4, columnspacing=1.0)
        return stack(parts)

    return draw
