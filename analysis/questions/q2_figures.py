"""The figures of question 2: losses over compute, steps from GPT to BERT, multiples of compute."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import pandas as pd
from matplotlib.axes import Axes

from analysis.plots.canvas import Panel, log_loss, log_ticks, log_x, points, stack
from analysis.questions.arm_ladder import (
    REFERENCE,
    STEPS,
    Multiple,
    frontier_points,
    gap,
    is_bound,
)
from analysis.seeds import PAIRED, seed_mean
from analysis.style import FAINT, arm_marks, mark

_INCHES = (5.2, 3.9)


def levels_panel(frame: pd.DataFrame, entropy: float | None) -> Panel:
    """Loss of the best size of each arm at each budget; every seed, and a line through the means.

    Args:
        entropy: bits per byte of the language, where it is known.
    """
    return Panel(
        name="levels",
        title="Bits per byte over compute",
        alt="Loss of the best size of each arm at each compute budget, per seed",
        draw=partial(_draw_levels, frame, entropy),
        inches=_INCHES,
    )


def steps_panel(frame: pd.DataFrame) -> Panel:
    """What each change between GPT and BERT costs at equal FLOPs."""
    return Panel(
        name="steps",
        title="From GPT to BERT, one change at a time",
        alt="What each change costs in bits per byte at equal FLOPs, with intervals over seeds",
        draw=partial(_draw_steps, frame),
        inches=_INCHES,
    )


def multiples_panel(found: Sequence[Multiple], arms: Sequence[str]) -> Panel:
    """R of each arm, per seed; where the runs give a bound only, a caret says which way.

    Args:
        arms: all of the study in order, so that each looks as in the other figures.
    """
    return Panel(
        name="multiples",
        title=f"Compute of each arm over that of {REFERENCE}",
        alt="Multiple of the reference's compute at equal bits per byte; carets are bounds",
        draw=partial(_draw_multiples, found, arms),
        inches=_INCHES,
    )


def _draw_levels(frame: pd.DataFrame, entropy: float | None, ax: Axes) -> pd.DataFrame:
    ladder = frontier_points(frame)
    parts = []
    for arm, look in arm_marks(frame["arm"]).items():
        own = ladder[ladder["arm"] == arm]
        mean = own.groupby("compute", as_index=False)["loss"].mean()
        ax.plot(
            mean["compute"], mean["loss"], look.marker, color=look.colour, linestyle=look.line,
            markersize=3.5, label=f"≤ {arm}" if is_bound(frame, arm) else arm,
        )  # fmt: skip
        ax.plot(own["compute"], own["loss"], look.marker, color=look.colour, markersize=3.5)
        parts.append(points(arm, "run", own["compute"], own["loss"], note=own["size"]))
    if entropy is not None:
        ax.axhline(entropy, color=FAINT, linewidth=0.8)
        ax.annotate(
            "entropy", (1, entropy), xycoords=("axes fraction", "data"), ha="right", va="bottom",
            fontsize=7, color=FAINT,
        )  # fmt: skip
    log_x(ax, "training FLOPs", ladder["compute"])
    log_loss(ax)
    ax.set_ylabel("bits per byte (≤: upper bounds)")
    ax.legend(ncols=2, loc="lower left", bbox_to_anchor=(0, 0.1))
    return stack(parts)


def _draw_steps(frame: pd.DataFrame, ax: Axes) -> pd.DataFrame:
    parts = []
    for place, (what, after, before) in enumerate(STEPS):
        found = gap(frame, after, before, "exact FLOPs")
        if found is None:
            continue
        estimate = seed_mean(
            list(found.by_seed.values()), name=what, unit="bits/byte", method=PAIRED
        )
        box = estimate.interval
        low, high = (box.low, box.high) if box else (math.nan, math.nan)
        ax.barh(place, estimate.value, color=mark(0).colour, alpha=0.5, height=0.5)
        if box:
            ax.plot([low, high], [place, place], color=mark(0).colour)
        parts.append(
            points(
                what, "bar", [estimate.value], [place], low=[low], high=[high],
                note=[f"{before} to {after}"],
            )
        )  # fmt: skip
    ax.set_yticks(range(len(STEPS)), [_step_label(frame, *step) for step in STEPS])
    ax.invert_yaxis()
    ax.axvline(0, color=FAINT, linewidth=0.8)
    ax.set_xlabel("bits per byte that it costs at equal FLOPs")
    return stack(parts)


def _step_label(frame: pd.DataFrame, what: str, after: str, before: str) -> str:
    label = what.replace(" of ", "\nof ", 1)
    if is_bound(frame, before):
        return f"{label}\n(of two bounds)"
    return f"{label}\n(≤, a bound)" if is_bound(frame, after) else label


def _draw_multiples(found: Sequence[Multiple], arms: Sequence[str], ax: Axes) -> pd.DataFrame:
    parts = []
    for arm, look in arm_marks(arms).items():
        own = [m for m in found if m.arm == arm]
        for bound, marker in (("", look.marker), ("lower", 6), ("upper", 7)):
            part = [m for m in own if m.bound == bound]
            if part:
                x, y = [m.flops for m in part], [m.value for m in part]
                ax.plot(x, y, linestyle="none", marker=marker, color=look.colour, markersize=4.5)
                parts.append(points(arm, bound or "equal", x, y))
        if own:
            # Bounds of several arms may lie on each other; the legend says whose there are.
            sign = "≥ " if all(m.bound == "lower" for m in own) else ""
            ax.plot([], [], look.marker, linestyle="none", color=look.colour, label=sign + arm)
    ax.axhline(1, color=FAINT, linewidth=0.8)
    log_x(ax, "training FLOPs of the arm", [m.flops for m in found])
    ax.set_yscale("log")
    log_ticks(ax, "y", [m.value for m in found])
    ax.set_ylabel("R at equal bits per byte (carets: bounds)")
    ax.legend(ncols=2)
    return stack(parts)
