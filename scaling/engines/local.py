"""The engine of one machine: one process per cell, forked from a server that has all imported.

Importing torch and Lightning costs seconds, a cell of a small sweep not much more: the fork server
pays for them once, and is started with the environment that training needs before its first
instruction (threads, allocator).
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from types import FrameType, MappingProxyType
from typing import Any, Protocol

from scaling import claims, machine
from scaling.engines import check_options, child
from scaling.engines.child import Seat
from scaling.errors import StoreError
from scaling.jobs import Job, Queue
from scaling.store import Store

PRELOAD = ("scaling.worker", "scaling.engines.preloaded")

_LOOK_SECONDS = 0.5
# How often the states of cells that other launchers work on are read.
_REFRESH_SECONDS = 2.0
_STOP_SECONDS = 30.0


class Display(Protocol):
    """Shows how a sweep is getting on."""

    def update(self, queue: Queue, running: Sequence[Running]) -> None: ...


@dataclass(eq=False, slots=True)
class Running:
    """A cell that is being trained by a child of this process.

    Attributes:
        first: the first progress that it reported, for its speed since then.
        progress: the last one: tokens, tokens_per_second, losses.
    """

    job: Job
    process: ForkServerProcess
    connection: Connection
    seat: int
    first: dict[str, Any] = field(default_factory=dict)
    progress: dict[str, Any] = field(default_factory=dict)
    outcome: str | None = None
    blocked: str | None = None

    def read(self) -> None:
        """Takes in what the child has sent so far."""
        with contextlib.suppress(EOFError, OSError):
            while self.connection.poll():
                kind, content = self.connection.recv()
                if kind == "progress":
                    self.first = self.first or content
                    self.progress = content
                elif kind == "outcome":
                    self.outcome = content
                else:
                    self.blocked = content


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
            _stop(running, queue)


def fork_server(threads: int) -> ForkServerContext:
    """A context whose processes have the training modules imported and their environment set.

    There is one server per process: the first call settles its environment.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOAD))
    environment = machine.training_environment(threads)
    os.environ.update(environment)
    try:
        from multiprocessing import forkserver

        forkserver.ensure_running()
    finally:
        for name in environment:
            del os.environ[name]
    return context


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
            running.append(_start(context, root, job, table[seat], seat))
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


def _start(context: ForkServerContext, root: Path, job: Job, seat: Seat, number: int) -> Running:
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(
        target=child.main, args=(theirs, root.absolute(), job, seat), name=f"cell-{job.run_id}"
    )
    process.start()
    theirs.close()
    return Running(job=job, process=process, connection=ours, seat=number)


def _reap(cell: Running, running: list[Running], queue: Queue, root: Path) -> None:
    """Takes leave of a child that has ended, and tells the store if it died."""
    cell.read()
    cell.process.join()
    cell.connection.close()
    running.remove(cell)
    queue.here.discard(cell.job.run_id)
    if cell.blocked is not None:
        raise StoreError(f"{cell.blocked} (the same command goes on from here)")
    if cell.outcome is None:
        reason = _cause_of_death(cell.process.exitcode or 0)
        folder = Store(root).folder(cell.job.run_id)
        claims.record_death(folder, cell.process.pid or 0, reason)
    queue.refresh(cell.job.run_id)


def _cause_of_death(exit_code: int) -> str:
    if exit_code == -signal.SIGKILL:
        return (
            "killed by SIGKILL, which the kernel sends when memory runs out; "
            "use fewer --workers or a smaller batch_tokens"
        )
    if exit_code < 0:
        return f"killed by {signal.Signals(-exit_code).name}; see log.txt"
    return f"ended with exit code {exit_code}; see log.txt"


def _stop(running: list[Running], queue: Queue) -> None:
    """Has every child write its checkpoint and end; kills those that take too long."""
    for cell in running:
        if cell.process.is_alive():
            cell.process.terminate()
    deadline = time.monotonic() + _STOP_SECONDS
    try:
        while alive := [cell for cell in running if cell.process.is_alive()]:
            wait([cell.process.sentinel for cell in alive], timeout=_LOOK_SECONDS)
            if time.monotonic() > deadline:
                break
    finally:
        for cell in running:
            if cell.process.is_alive() and cell.process.pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(cell.process.pid, signal.SIGKILL)
            queue.here.discard(cell.job.run_id)


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
