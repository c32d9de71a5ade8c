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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any

from scaling import claims, machine
from scaling.engines import child
from scaling.engines.child import RunCell, Seat
from scaling.errors import EngineError, StoreError
from scaling.jobs import Job
from scaling.store import Store

PRELOAD = (
    "scaling.engines.preloading",
    "scaling.worker",
    "scaling.engines.leftovers",
    "scaling.cli",
    "scaling.engines.preloaded",
)

CELL_PREFIX = "cell-"

_LOOK_SECONDS = 0.5
STOP_SECONDS = 30.0
_START_ATTEMPTS = 8
_PAUSE_SECONDS = 0.02
# What `multiprocessing` reports of a process whose fork server was killed, and it with it.
_SERVER_DIED = 255


@dataclass(eq=False, slots=True)
class Running:
    """A cell that is being trained by a child of this process.

    Attributes:
        seat: number of the seat that it has.
        first: the first progress that it reported, for its speed since then.
        progress: the last one, as a `scaling.watch.Progress` in JSON.
        server_pid: the fork server of its process, once that has the job in hand.
        stays: whether its process waits for another cell.
        fresh: whether it is the first cell of its process.
    """

    job: Job
    process: ForkServerProcess
    connection: Connection
    seat: int
    first: dict[str, Any] = field(default_factory=dict)
    progress: dict[str, Any] = field(default_factory=dict)
    outcome: str | None = None
    blocked: str | None = None
    server_pid: int | None = None
    stays: bool = False
    fresh: bool = True

    def read(self) -> None:
        """Takes in what the child has sent so far."""
        with contextlib.suppress(EOFError, OSError):
            while self.outcome is None and self.connection.poll():
                kind, content = self.connection.recv()
                if kind == "progress":
                    self.first = self.first or content
                setattr(self, kind, content)

    @property
    def ended(self) -> bool:
        """Whether the cell has an outcome, or its process is gone."""
        # The exit code comes first: what the process sent before its end is then there to read.
        gone = self.process.exitcode is not None
        self.read()
        return gone or self.outcome is not None


def fork_server(threads: int) -> ForkServerContext:
    """A context whose processes have the training modules imported and their environment set.

    There is one server per process: the first call settles its environment.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOAD))
    from multiprocessing import forkserver, resource_tracker

    # It unblocks Ctrl-C once it has started, so it starts first.
    resource_tracker.ensure_running()
    with _training_environment(threads), _interrupt_held_back():
        forkserver.ensure_running()
    return context


def start(
    context: ForkServerContext,
    root: Path,
    job: Job,
    seat: Seat,
    number: int,
    *,
    limit: int = 1,
    run_cell: RunCell | None = None,
) -> Running:
    """Has a new process train `job`.

    Args:
        number: of the seat.
        limit: cells that the process may train one after the other; see `hand_over`.
        run_cell: instead of `scaling.worker.run_cell`; importable by its name.
    Raises:
        EngineError: no process can be started.
    """
    for attempt in range(_START_ATTEMPTS):
        ours, theirs = context.Pipe()
        process = context.Process(
            target=child.main,
            args=(theirs, root.absolute(), seat, limit, run_cell),
            name=CELL_PREFIX + job.run_id,
        )
        try:
            # A server that was killed is started again here, and needs its environment again.
            with _training_environment(seat.threads), _interrupt_held_back():
                process.start()
        except (EOFError, ConnectionError):
            ours.close()
            # The server died over it; the kernel takes a moment to say so of a large process.
            time.sleep(_PAUSE_SECONDS * 2**attempt)
            continue
        finally:
            theirs.close()
        running = Running(job=job, process=process, connection=ours, seat=number)
        _send(running)
        return running
    raise EngineError(
        f"{_START_ATTEMPTS} fork servers in a row died before they had started a process; "
        "look for what kills them, such as a limit on memory or processes"
    )


def hand_over(cell: Running, job: Job) -> Running:
    """Gives the next job to the process of a finished cell that stays."""
    running = Running(
        job=job, process=cell.process, connection=cell.connection, seat=cell.seat, fresh=False
    )
    _send(running)
    return running


def finish(cell: Running, root: Path) -> None:
    """Takes leave of a cell that has ended, and tells the store if its process died.

    Raises:
        StoreError: it met a trouble that every cell would meet.
    """
    cell.read()
    if not cell.stays or cell.outcome is None:
        dismiss(cell)
    if cell.blocked is not None:
        raise StoreError(f"{cell.blocked} (the same command goes on from here)")
    if cell.outcome is None and _died_of_its_cell(cell, root):
        reason = _cause_of_death(cell.process.exitcode or 0)
        folder = Store(root).folder(cell.job.run_id)
        claims.record_death(folder, cell.process.pid or 0, reason)


def dismiss(cell: Running) -> None:
    """Waits for the end of a process that has no cell any more."""
    cell.connection.close()
    cell.process.join()


def stop(running: Sequence[Running], *, patience_seconds: float = STOP_SECONDS) -> None:
    """Has every child write its checkpoint and end; kills those that take too long."""
    for cell in running:
        if cell.process.is_alive():
            cell.process.terminate()
    deadline = time.monotonic() + patience_seconds
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


def _died_of_its_cell(cell: Running, root: Path) -> bool:
    if (Store(root).folder(cell.job.run_id) / "record.json").exists():
        return False  # it had published
    if cell.server_pid is None:
        # One that was waiting may have died of anything before it had this job.
        return cell.fresh
    return cell.process.exitcode != _SERVER_DIED or _is_alive(cell.server_pid)


def _is_alive(pid: int) -> bool:
    import psutil

    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@contextlib.contextmanager
def _training_environment(threads: int) -> Iterator[None]:
    environment = machine.training_environment(threads)
    os.environ.update(environment)
    try:
        yield
    finally:
        for name in environment:
            del os.environ[name]


@contextlib.contextmanager
def _interrupt_held_back() -> Iterator[None]:
    """Ctrl-C waits until the block ends; a server that is started in it has it blocked at first."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _send(running: Running) -> None:
    # A process that is gone by now has ended its cell: `finish` says so.
    with contextlib.suppress(OSError):
        running.connection.send(running.job)


def _cause_of_death(exit_code: int) -> str:
    if exit_code == -signal.SIGKILL:
        return (
            "killed by SIGKILL, which the kernel sends when memory runs out; "
            "use fewer --workers or a smaller batch_tokens"
        )
    if exit_code < 0:
        return f"killed by {signal.Signals(-exit_code).name}; see log.txt"
    return f"ended with exit code {exit_code}; see log.txt"
