"""The engine of one machine: as many cells at a time as it has seats, the longest chain first."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerContext
from pathlib import Path
from types import FrameType, MappingProxyType
from typing import Protocol

from scaling import machine
from scaling.engines import check_options
from scaling.engines.cell_process import Running, finish, fork_server, start, stop
from scaling.engines.child import Seat
from scaling.jobs import Job, Queue
from scaling.store import Store

_LOOK_SECONDS = 0.5
# How often the states of cells that other launchers work on are read.
_REFRESH_SECONDS = 2.0


class Display(Protocol):
    """Shows how a sweep is getting on."""

    def update(self, queue: Queue, running: Sequence[Running]) -> None: ...


def default_workers() -> int:
    return machine.gpus() or machine.physical_cores()


def seats(workers: int) -> list[Seat]:
    """What each of `workers` processes may use of this machine.

    Who sets OMP_NUM_THREADS shares the machine out among several launches, so none is pinned.
    """
    cores = machine.usable_cores()
    n_gpus = machine.gpus()
    chosen = machine.chosen_threads()
    threads = chosen or max(1, machine.physical_cores() // workers)
    pinned = not n_gpus and chosen is None and workers * threads <= len(cores)
    return [
        Seat(
            threads=threads,
            cores=tuple(cores[i * threads : (i + 1) * threads]) if pinned else (),
            gpu=i % n_gpus if n_gpus else None,
        )
        for i in range(workers)
    ]


def run_jobs(
    root: Path,
    jobs: Sequence[Job],
    *,
    workers: int | None,
    display: Display,
    options: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Trains all jobs that have not ended, and waits for those that other launchers train.

    Raises: see `scaling.engines.Engine`.
    """
    check_options("local", options, ())
    table = seats(workers or default_workers())
    queue = Queue(jobs, Store(root))
    context = fork_server(table[0].threads)
    running: list[Running] = []
    with _stopped_by_signals():
        try:
            _loop(root, queue, context, table, running, display)
        finally:
            stop(running)
            queue.here.clear()


def _loop(
    root: Path,
    queue: Queue,
    context: ForkServerContext,
    table: list[Seat],
    running: list[Running],
    display: Display,
) -> None:
    refreshed = time.monotonic()
    while queue.unfinished:
        taken = {cell.seat for cell in running}
        for seat in (i for i in range(len(table)) if i not in taken):
            job = queue.next()
            if job is None:
                break
            running.append(start(context, root, job, table[seat], seat))
            queue.here.add(job.run_id)
        display.update(queue, running)
        if running:
            wait([cell.process.sentinel for cell in running], timeout=_LOOK_SECONDS)
        else:
            time.sleep(_LOOK_SECONDS)
        for cell in list(running):
            cell.read()
            if cell.process.exitcode is not None:
                _reap(cell, running, queue, root)
        if time.monotonic() - refreshed > _REFRESH_SECONDS:
            before = time.monotonic()
            queue.refresh()
            # On a slow file system, looking must not become what this process does.
            refreshed = time.monotonic() + 20 * (time.monotonic() - before)
    display.update(queue, running)


def _reap(cell: Running, running: list[Running], queue: Queue, root: Path) -> None:
    running.remove(cell)
    queue.here.discard(cell.job.run_id)
    finish(cell, root)
    queue.refresh(cell.job.run_id)


@contextlib.contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end the launch as Ctrl-C does."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt(signal.Signals(number).name)

    wanted = (signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, stop) for number in wanted}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
