"""The screen of `scaling watch`: running cells with progress, trend of the loss and time left."""

from __future__ import annotations

import contextlib
from collections import deque
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from scaling.logs import harmless
from scaling.status_view import (
    headline,
    losses_of,
    more_line,
    name_of,
    reason_line,
    style_of,
    tokens_of,
)
from scaling.store import SETTLED
from scaling.words import duration, short

if TYPE_CHECKING:
    from scaling.sweep_status import CellStatus, SweepStatus

# Lines of the screen that are not rows of running cells: frames, heads, the bar.
_FIXED_LINES = 10
# Of cells that ended and of those without a result: so many, fewer on a low screen.
_ENDED_SHOWN = 6
_LINES_PER_ENDED = 8
_READINGS = 20
_NAME_WIDTH = 40
_BLOCKS = "▁▂▃▄▅▆▇█"


class WatchView:
    """Draws one sweep again and again; remembers losses, and what ended while it looked."""

    def __init__(self) -> None:
        self._losses: dict[str, deque[float]] = {}
        self._seen: dict[str, str] = {}
        self._ended: deque[CellStatus] = deque(maxlen=_ENDED_SHOWN)

    def draw(self, status: SweepStatus, height: int) -> RenderableType:
        """The whole screen, never more lines than it holds."""
        self._remember(status)
        parts: list[RenderableType] = [self._summary(status)]
        most = max(1, min(_ENDED_SHOWN, height // _LINES_PER_ENDED))
        unmet, ended = status.unmet[-most:], list(self._ended)[-most:]
        room = height - _FIXED_LINES - 2 * len(unmet) - len(ended)
        shown = status.running[: max(1, room)]
        if shown:
            parts.append(self._running(shown))
            if left := len(status.running) - len(shown):
                parts.append(more_line(left, "running"))
        if ended:
            parts.append(Text("ended while you watched", style="bold"))
            parts += [_line(f"  {cell.state}: {name_of(cell)}", cell) for cell in ended]
        if unmet:
            parts.append(Text("without a result", style="bold"))
        for cell in unmet:
            parts.append(_line(f"  {reason_line(cell)}", cell))
            if cell.last_log_line:
                parts.append(Text(f"    {harmless(cell.last_log_line)}", style="dim",
                                  no_wrap=True, overflow="ellipsis"))  # fmt: skip
        if left := len(status.unmet) - len(unmet):
            parts.append(more_line(left, "without a result"))
        return Group(*parts)

    def _remember(self, status: SweepStatus) -> None:
        for cell in status.trained:
            run_id = str(cell.run_id)
            if cell.state in SETTLED and self._seen.get(run_id, cell.state) != cell.state:
                self._ended.append(cell)
            self._seen[run_id] = cell.state
            if cell.state == "running" and cell.losses:
                kept = self._losses.setdefault(run_id, deque(maxlen=_READINGS))
                kept.append(sum(cell.losses.values()))
            elif cell.state != "running":
                self._losses.pop(run_id, None)

    def _summary(self, status: SweepStatus) -> Panel:
        n_ended = sum(cell.state in SETTLED for cell in status.trained)
        bar = ProgressBar(total=max(1, len(status.trained)), completed=n_ended)
        words = f"{n_ended} of {len(status.trained)} cells have ended"
        if status.seconds_left and not status.is_over:
            end = datetime.now() + timedelta(seconds=status.seconds_left)
            words += f"; all of them by about {end:%a %H:%M}"
        return Panel(Group(bar, Text(words)), title=Text(headline(status)), title_align="left")

    def _running(self, cells: list[CellStatus]) -> Table:
        table = Table(box=None, header_style="bold", expand=True)
        table.add_column("run", no_wrap=True)
        table.add_column("cell", no_wrap=True, max_width=_NAME_WIDTH, ratio=2)
        table.add_column("done", ratio=1, min_width=6)
        for column in ("%", "tokens", "tok/s", "for", "left"):
            table.add_column(column, justify="right", no_wrap=True)
        for column in ("loss", "trend", "on"):
            table.add_column(column, no_wrap=True, max_width=24)
        for cell in cells:
            share = (cell.tokens or 0) / cell.train_tokens if cell.train_tokens else 0.0
            table.add_row(
                (cell.run_id or "-")[:8], Text(name_of(cell)),
                ProgressBar(total=1.0, completed=share), f"{100 * share:.0f}", tokens_of(cell),
                short(cell.tokens_per_second) if cell.tokens_per_second else "-",
                _since(cell.started), _left(cell), Text(losses_of(cell) or "-"),
                sparkline(self._losses.get(str(cell.run_id), ())),
                Text(harmless(cell.machine or "-")),
            )  # fmt: skip
        return table


def sparkline(values: deque[float] | tuple[float, ...]) -> str:
    """Values as blocks between the lowest and the highest of them."""
    if len(values) < 2:
        return ""
    low, high = min(values), max(values)
    step = (high - low) / (len(_BLOCKS) - 1) or 1.0
    return "".join(_BLOCKS[round((value - low) / step)] for value in values)


def _line(words: str, cell: CellStatus) -> Text:
    return Text(words, style=style_of(cell), no_wrap=True, overflow="ellipsis")


def _since(started: str | None) -> str:
    with contextlib.suppress(TypeError, ValueError):
        began = datetime.fromisoformat(started)  # type: ignore[arg-type]
        return duration(max(0.0, (datetime.now(UTC) - began).total_seconds()))
    return "-"


def _left(cell: CellStatus) -> str:
    if not cell.tokens_per_second or cell.tokens is None or cell.train_tokens is None:
        return "-"
    return duration((cell.train_tokens - cell.tokens) / cell.tokens_per_second)
