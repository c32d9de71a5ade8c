"""A cell in a child process: started from a warm server, listened to, taken leave of.

Importing torch and Lightning costs seconds, a cell of a small sweep not much more: the fork server
pays for them once, and is started with the environment that training needs before its first
instruction (threads, allocator). Every engine that runs cells on the machine it is on uses this.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any

from scaling import claims, machine
from scaling.engines import child
from scaling.engines.child import Seat
from scaling.errors import StoreError
from scaling.jobs import Job
from scaling.store import Store

PRELOAD = ("scaling.worker", "scaling.engines.preloaded")

_LOOK_SECONDS = 0.5
_STOP_SECONDS = 30.0


@dataclass(eq=False, slots=True)
class Running:
    """A cell that is being trained by a child of this process.

    Attributes:
        seat: number of the seat that it has.
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


def start(context: ForkServerContext, root: Path, job: Job, seat: Seat, number: int) -> Running:
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(
        target=child.main, args=(theirs, root.absolute(), job, seat), name=f"cell-{job.run_id}"
    )
    process.start()
    theirs.close()
    return Running(job=job, process=process, connection=ours, seat=number)


def finish(cell: Running, root: Path) -> None:
    """Takes leave of a child that has ended, and tells the store if it died.

    Raises:
        StoreError: it met a trouble that every cell would meet.
    """
    cell.read()
    cell.process.join()
    cell.connection.close()
    if cell.blocked is not None:
        raise StoreError(f"{cell.blocked} (the same command goes on from here)")
    if cell.outcome is None:
        reason = _cause_of_death(cell.process.exitcode or 0)
        folder = Store(root).folder(cell.job.run_id)
        claims.record_death(folder, cell.process.pid or 0, reason)


def stop(running: Sequence[Running]) -> None:
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


def _cause_of_death(exit_code: int) -> str:
    if exit_code == -signal.SIGKILL:
        return (
            "killed by SIGKILL, which the kernel sends when memory runs out; "
            "use fewer --workers or a smaller batch_tokens"
        )
    if exit_code < 0:
        return f"killed by {signal.Signals(-exit_code).name}; see log.txt"
    return f"ended with exit code {exit_code}; see log.txt"
