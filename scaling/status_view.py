"""How the status of a sweep is drawn: a table once, a screen that renews itself, or plain lines."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from scaling.logs import harmless
from scaling.words import describe, duration, in_words, short

if TYPE_CHECKING:
    from scaling.sweep_status import CellStatus, SweepStatus

# What a screen shows of a sweep with hundreds of cells.
_RUNNING_SHOWN = 24
_UNMET_SHOWN = 8
_ANY_WIDTH = 1_000_000

_STYLES = {"done": "green", "running": "cyan", "pending": "dim", "excluded": "dim",
           "cancelled": "yellow", "blocked": "yellow"}  # fmt: skip


def print_table(status: SweepStatus, console: Console) -> None:
    """Every cell on a line, and the sweep on the last one.

    What is no terminal gets the cells in full; on a terminal they are shortened to its width, and
    the reasons follow in full.
    """
    table = _cell_table(status.cells)
    boundless = console.options.update(max_width=_ANY_WIDTH)
    needed = console.measure(table, options=boundless).maximum
    if not console.is_terminal:
        console.width = max(console.width, needed)
    elif needed > console.width:
        table = _cell_table(status.cells, width=console.width)
    console.print(table)
    console.print(headline(status), soft_wrap=True, highlight=False, markup=False)
    for cell in status.unmet:
        lines = []
        if needed > console.width:
            lines.append(reason_line(cell))
        if cell.state != "cancelled" and cell.last_log_line:
            lines.append(f"last log line of {cell.run_id}: {harmless(cell.last_log_line)}")
        for line in lines:
            console.print(line, soft_wrap=True, highlight=False, markup=False)


def _cell_table(cells: Sequence[CellStatus], *, width: int | None = None) -> Table:
    """A line per cell, in full or shortened to a width: first why, then its name and machine."""
    names = {tuple(cell.labels) for cell in cells}
    # The values alone, where one head can name them all.
    by_head = width is not None and len(names) == 1
    columns = {
        "run": [Text((cell.run_id or "-")[: None if width is None else 8]) for cell in cells],
        harmless(" ".join(names.pop())) if by_head else "cell": [
            Text(name_of(cell) if by_head else harmless(describe(cell.labels))) for cell in cells
        ],
        "state": [Text(cell.state, style=style_of(cell)) for cell in cells],
        "tokens": [Text(tokens_of(cell)) for cell in cells],
        "on": [Text(_where(cell)) for cell in cells],
        "why": [Text(_why(cell)) for cell in cells],
    }
    table = Table(box=None, header_style="bold", pad_edge=False)
    left = width
    for number, (head, texts) in enumerate(columns.items()):
        shown = [Text(head), *texts]
        for text in shown:
            text.no_wrap, text.overflow = True, "ellipsis"
        most = max(text.cell_len for text in shown)
        room = max(len(head) + 1, left) if left is not None and head == "why" else None
        table.add_column(shown[0], no_wrap=number not in (1, 4, 5), max_width=room)
        left = left - most - 2 if left is not None else None
    for row in zip(*columns.values(), strict=True):
        table.add_row(*row)
    return table


def _where(cell: CellStatus) -> str:
    return harmless(cell.machine or "") if cell.state == "running" else ""


def _why(cell: CellStatus) -> str:
    why = cell.reason or (_at_work(cell) if cell.state == "running" else "")
    return harmless(" ".join(why.split()))


def headline(status: SweepStatus) -> str:
    """Counts, speed and the time that is left, on one line."""
    counts = status.counts
    parts = [f"{counts[state]} {state}" for state in sorted(counts)]
    if status.tokens_per_second:
        parts.append(f"{short(status.tokens_per_second)} tok/s")
    if status.seconds_left and not status.is_over:
        parts.append(f"{duration(status.seconds_left)} left")
    return f"{status.sweep}: {', '.join(parts) or 'no cells'}"


def watch(
    read: Callable[[], SweepStatus],
    console: Console,
    *,
    interval_seconds: float,
    draw: Callable[[SweepStatus, int], RenderableType] | None = None,
) -> None:
    """Shows the sweep until all of it has ended; Ctrl-C leaves, and the sweep goes on.

    Args:
        draw: makes a screen of the status and the lines that it holds; None takes `screen`.
    """
    try:
        if console.is_terminal:
            _watch_screen(read, console, interval_seconds, draw or _plain_screen)
        else:
            _watch_lines(read, console, interval_seconds)
    except KeyboardInterrupt:
        console.print("left; the sweep goes on", highlight=False)


def _plain_screen(status: SweepStatus, height: int) -> RenderableType:
    return screen(status, height=height)


def _watch_screen(
    read: Callable[[], SweepStatus],
    console: Console,
    interval_seconds: float,
    draw: Callable[[SweepStatus, int], RenderableType],
) -> None:
    with Live(console=console, auto_refresh=False) as live:
        while True:
            status = read()
            live.update(draw(status, console.height), refresh=True)
            if status.is_over:
                return
            time.sleep(interval_seconds)


def _watch_lines(
    read: Callable[[], SweepStatus], console: Console, interval_seconds: float
) -> None:
    """The headline and what runs; a failure once, when it is first seen."""
    told: set[str | None] = set()
    while True:
        status = read()
        running = "".join(f" | {name_of(cell)}: {_speed(cell)}" for cell in status.running)
        lines = [f"{headline(status)}{running}"]
        for cell in status.unmet:
            if cell.run_id not in told:
                told.add(cell.run_id)
                lines.append(f"  {reason_line(cell)}")
        console.print("\n".join(lines), soft_wrap=True, highlight=False, markup=False)
        if status.is_over:
            return
        time.sleep(interval_seconds)


def screen(status: SweepStatus, *, height: int = 40) -> Group:
    """The sweep on one screen: a bar, what runs, what went wrong; never more than it holds."""
    n_ended = sum(cell.is_over for cell in status.trained)
    bar = ProgressBar(total=max(1, len(status.trained)), completed=n_ended, width=40)
    parts: list[Text | ProgressBar | Table] = [Text(headline(status), style="bold"), bar]
    n_running = min(_RUNNING_SHOWN, max(1, height - _UNMET_SHOWN - 6))
    if status.running:
        parts.append(_running_table(status.running[:n_running]))
        parts += _more(len(status.running) - n_running, "running")
    for cell in status.unmet[-_UNMET_SHOWN:]:
        parts.append(
            Text(reason_line(cell), style=style_of(cell), no_wrap=True, overflow="ellipsis")
        )
    parts += _more(len(status.unmet) - _UNMET_SHOWN, "without a result")
    return Group(*parts)


def _running_table(cells: list[CellStatus]) -> Table:
    table = Table(box=None, header_style="bold")
    for column in ("run", "cell", "tokens", "tok/s", "loss", "on"):
        right = column in ("tokens", "tok/s")
        table.add_column(column, justify="right" if right else "left", no_wrap=True)
    for cell in cells:
        table.add_row(
            (cell.run_id or "-")[:8], Text(name_of(cell)), tokens_of(cell),
            short(cell.tokens_per_second) if cell.tokens_per_second else "-",
            losses_of(cell) or "-", Text(harmless(cell.machine or "-")),
        )  # fmt: skip
    return table


def _more(number: int, what: str) -> list[Text]:
    return [more_line(number, what)] if number > 0 else []


def more_line(number: int, what: str) -> Text:
    return Text(f"and {number} more {what}; `scaling status` lists them all", style="dim")


def style_of(cell: CellStatus) -> str:
    return _STYLES.get(cell.state, "bold red")


def name_of(cell: CellStatus) -> str:
    return harmless(" ".join(map(in_words, cell.labels.values())))


def reason_line(cell: CellStatus) -> str:
    """Why a cell has no result."""
    why = " ".join((cell.reason or "no reason given").split())
    return f"{cell.state}: {name_of(cell)} ({cell.run_id}): {harmless(why)}"


def tokens_of(cell: CellStatus) -> str:
    if cell.tokens is None or cell.train_tokens is None:
        return ""
    counted = f"{short(cell.tokens)}/{short(cell.train_tokens)}"
    return counted if cell.unit == "tokens" else harmless(f"{counted} {cell.unit}")


def losses_of(cell: CellStatus) -> str:
    return ", ".join(f"{harmless(term)} {nats:.3f}" for term, nats in cell.losses.items())


def _speed(cell: CellStatus) -> str:
    machine = f"on {harmless(cell.machine)}" if cell.machine and cell.tokens is not None else ""
    return ", ".join(part for part in (tokens_of(cell), _at_work(cell), machine) if part)


def _at_work(cell: CellStatus) -> str:
    if cell.tokens is None:
        return "starting"
    speed = f"{short(cell.tokens_per_second)} tok/s" if cell.tokens_per_second else ""
    return ", ".join(part for part in (speed, losses_of(cell)) if part)
