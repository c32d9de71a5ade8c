"""How a sweep is getting on: live lines on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from scaling.jobs import Queue
from scaling.logs import harmless
from scaling.store import SETTLED
from scaling.words import duration, in_words, short

if TYPE_CHECKING:
    from scaling.engines import CellAtWork, Display

PLAIN_SECONDS = 5.0
SETTLING_SECONDS = 10.0


@contextmanager
def sweep_display(name: str, console: Console) -> Iterator[Display]:
    """The display that fits the console."""
    if not console.is_terminal:
        yield PlainDisplay(name, console)
        return
    with LiveDisplay(name, console) as display:
        yield display


class Clock:
    """Estimates the time that is left from the FLOPs done since the first report of a cell."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._flops_at_start: float | None = None
        self._has_report = False

    def seconds_left(self, queue: Queue, running: Sequence[CellAtWork]) -> float | None:
        """None before anything is measured, and for the seconds in which a start weighs most."""
        left: float = sum(job.own_flops for job in queue.unfinished)
        if self._flops_at_start is None:
            self._flops_at_start = left
            return None
        left -= sum(_flops_done(cell) for cell in running if not queue.ended(cell.job.run_id))
        done = self._flops_at_start - left
        if not self._has_report and any(cell.progress for cell in running):
            # Imports and the reading of the text come before; they tell nothing of the speed.
            self._has_report, self._started = True, time.monotonic()
        seconds = time.monotonic() - self._started
        # What evaluations take is not known beforehand.
        if done <= 0 or left <= 0 or seconds < SETTLING_SECONDS:
            return None
        return left / done * seconds


def _flops_done(cell: CellAtWork) -> float:
    """Since its first report; a cell without its trunk does more than what is its own."""
    if not cell.progress:
        return 0.0
    tokens: int = cell.progress["tokens"] - cell.first["tokens"]
    return min(tokens * cell.job.train_flops_per_token, cell.job.own_flops)


def _still_running(queue: Queue, running: Sequence[CellAtWork]) -> list[CellAtWork]:
    """Without those whose result is there and whose process is about to say so."""
    return [cell for cell in running if not queue.ended(cell.job.run_id)]


class PlainDisplay:
    """One line every few seconds, for logs."""

    def __init__(self, name: str, console: Console) -> None:
        self._name, self._console = name, console
        self._clock, self._printed, self._counts = Clock(), -PLAIN_SECONDS, {"": 0}

    def update(self, queue: Queue, running: Sequence[CellAtWork]) -> None:
        waits = time.monotonic() - self._printed < PLAIN_SECONDS
        if waits and queue.unfinished:
            return
        counts = queue.counts()
        if waits and counts == self._counts:
            return
        left = self._clock.seconds_left(queue, running)
        self._printed, self._counts = time.monotonic(), counts
        cells = "".join(
            f" | {cell_line(cell)}" for cell in _still_running(queue, running) if cell.progress
        )
        self._console.print(
            f"{self._name}: {counts_line(counts, left)}{cells}", soft_wrap=True, highlight=False
        )


class LiveDisplay:
    """A bar for the sweep and one for each cell that is being trained."""

    def __init__(self, name: str, console: Console) -> None:
        self._clock = Clock()
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=16),
            TextColumn("{task.fields[facts]}", markup=False),
            console=console,
            transient=True,
            refresh_per_second=4,
        )
        self._sweep = self._bars.add_task(name, facts="", total=None)
        self._cells: dict[str, TaskID] = {}

    def __enter__(self) -> LiveDisplay:
        self._bars.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bars.stop()

    def update(self, queue: Queue, running: Sequence[CellAtWork]) -> None:
        counts = queue.counts()
        ended = sum(number for state, number in counts.items() if state in SETTLED)
        facts = counts_line(counts, self._clock.seconds_left(queue, running))
        self._bars.update(self._sweep, completed=ended, total=sum(counts.values()), facts=facts)
        here = {cell.job.run_id: cell for cell in _still_running(queue, running)}
        for run_id in self._cells.keys() - here.keys():
            self._bars.remove_task(self._cells.pop(run_id))
        for run_id, cell in here.items():
            if run_id not in self._cells:
                self._cells[run_id] = self._bars.add_task(
                    f"  {_name(cell)}", facts="", total=cell.job.train_tokens
                )
            if cell.progress:
                self._bars.update(
                    self._cells[run_id],
                    completed=cell.progress["tokens"],
                    total=cell.progress["train_tokens"],
                    facts=speed_line(cell),
                )


def counts_line(counts: dict[str, int], seconds_left: float | None) -> str:
    shown = [f"{counts.get('done', 0)}/{sum(counts.values())} done"]
    order = (
        "running", "pending", "blocked", "failed", "diverged", "out_of_memory", "timeout",
        "damaged", "cancelled",
    )  # fmt: skip
    shown += [f"{counts[state]} {state}" for state in order if counts.get(state)]
    if seconds_left is not None and any(counts.get(state) for state in ("running", "pending")):
        shown.append(f"{duration(seconds_left)} left")
    return ", ".join(shown)


def cell_line(cell: CellAtWork) -> str:
    return f"{_name(cell)}: {speed_line(cell)}"


def _name(cell: CellAtWork) -> str:
    """The values of the labels alone: a line has to hold the speed and the losses as well."""
    return harmless(" ".join(map(in_words, cell.job.labels.values())))


def speed_line(cell: CellAtWork) -> str:
    progress = cell.progress
    total, unit = progress["train_tokens"], progress.get("unit", "tokens")
    shown = [f"{short(progress['tokens'])}/{short(total)} {unit}"]
    if progress["tokens_per_second"]:  # the first report of a run has none yet
        shown.append(f"{short(progress['tokens_per_second'])} tok/s")
    shown += [f"{term} {nats:.3f}" for term, nats in progress["losses"].items()]
    return harmless(", ".join(shown))
