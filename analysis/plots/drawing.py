"""Drawing: a figure that can be drawn, with its caption and its panels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes

from analysis.arm import Arm
from analysis.plots.canvas import Panel


@dataclass(frozen=True, kw_only=True, slots=True)
class Drawing:
    """A figure that can be drawn: a name for files, a title, a caption and its panels."""

    name: str
    title: str
    caption: str
    panels: tuple[Panel, ...]


def slug(*parts: str) -> str:
    words = "-".join(parts)
    return "".join(c if c.isascii() and c.isalnum() else "-" for c in words)


def arm_panel(
    figure: str, arm: Arm, index: int, alt: str, draw: Callable[[Axes], pd.DataFrame]
) -> Panel:
    # Names of arms come from the user; the index keeps two that differ only in signs apart.
    name = slug(figure, str(index + 1), arm.name)
    return Panel(name=name, title=arm.name, alt=f"{arm.name}: {alt}", draw=draw)
