"""A process that trains cells for an asker that may be killed at any moment.

An engine whose workers belong to somebody else, such as Ray's actors, cannot rely on their end:
they are killed without a signal to anyone, and their children with them. So the asker starts a
process of a session of its own, which nobody takes for its child, and holds the other end of a
socket: when that closes, for whatever reason, the cell is told to write its checkpoint and to end.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Mapping
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from scaling.jobs import Job

_LOOK_SECONDS = 0.5
# A cell that is stopped is killed after half a minute; see `scaling.engines.cell_process`.
_STOP_SECONDS = 40.0
# The asker's own way to the suite need not be one that its children inherit.
_PROGRAM = (
    "import sys; sys.path.append(sys.argv[1]); "
    "from scaling.engines.detached import serve; serve(*sys.argv[2:])"
)


class Detached:
    """The asker's side of one detached process, which trains one cell at a time."""

    def __init__(self, root: Path, threads: int, environment: Mapping[str, str]) -> None:
        """
        Args:
            root: absolute path of the store.
            threads: of each process that trains.
            environment: of the process, as a whole.
        """
        suite = str(Path(__file__).parents[2])
        self._connection, theirs = Pipe()
        with theirs:
            handle = theirs.fileno()
            command = [sys.executable, "-c", _PROGRAM, suite, str(handle), str(root), str(threads)]
            # It ends at once: its child is the process that stays.
            subprocess.run(
                command,
                pass_fds=[handle],
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                check=True,
            )

    def give(self, job: Job) -> None:
        """Has it train `job`; the cell before must have ended."""
        self._connection.send(job)

    def news(self, patience_seconds: float) -> list[tuple[str, Any]]:
        """What it has sent since: `progress`, `ended` with the outcome, `blocked` with a line.

        Args:
            patience_seconds: how long to wait for the first piece.
        Raises:
            EOFError, OSError: the process is gone.
        """
        found: list[tuple[str, Any]] = []
        while self._connection.poll(0 if found else patience_seconds):
            found.append(self._connection.recv())
        return found

    def stop(self) -> None:
        """Has its cell write a checkpoint and end, and waits for that."""
        with contextlib.suppress(EOFError, OSError):
            self._connection.send(None)
            while self._connection.poll(_STOP_SECONDS):
                if self._connection.recv()[0] == "stopped":
                    return


def serve(handle: str, root: str, threads: str) -> None:
    """The detached process: trains what it is given until its asker is gone."""
    if os.fork():
        os._exit(0)
    os.setsid()
    from scaling.engines.cell_process import fork_server, stop

    context = fork_server(int(threads))
    with Connection(int(handle)) as asker:
        service = _Service(asker, Path(root), int(threads), context)
        try:
            while True:
                service.step()
        except (EOFError, OSError):
            pass
        finally:
            stop(service.processes)


class _Service:
    def __init__(self, asker: Connection, root: Path, threads: int, context: Any) -> None:
        from scaling.engines.child import Seat

        self._asker, self._root, self._context = asker, root, context
        # Ray shows each worker its own GPUs alone, so the seat names none.
        self._seat = Seat(threads=threads)
        self._cell: Any = None
        self._idle: Any = None
        self._shown: dict[str, Any] = {}

    @property
    def processes(self) -> list[Any]:
        return [cell for cell in (self._cell, self._idle) if cell is not None]

    def step(self) -> None:
        """Takes one order, and passes on what the cell has to tell.

        Raises:
            EOFError, OSError: the asker is gone.
        """
        sources = [self._asker] + ([self._cell.process.sentinel] if self._cell else [])
        if self._asker in wait(sources, timeout=_LOOK_SECONDS):
            self._obey(self._asker.recv())
        if self._cell is not None:
            self._report()

    def _obey(self, job: Job | None) -> None:
        from scaling.engines.cell_process import hand_over, start, stop
        from scaling.engines.crew import CELLS_PER_PROCESS

        if job is None:
            stop(self.processes)
            self._cell = self._idle = None
            self._asker.send(("stopped", None))
            return
        waiting, self._idle = self._idle, None
        if waiting is not None and waiting.process.exitcode is None:
            self._cell = hand_over(waiting, job)
            return
        # Several devices leave process groups and variables behind.
        limit = CELLS_PER_PROCESS if job.devices == 1 else 1
        self._cell = start(self._context, self._root, job, self._seat, 0, limit=limit)

    def _report(self) -> None:
        from scaling.engines.cell_process import finish
        from scaling.errors import StoreError

        cell = self._cell
        ended = cell.ended
        if cell.progress and cell.progress is not self._shown:
            self._shown = cell.progress
            self._asker.send(("progress", cell.progress))
        if not ended:
            return
        self._cell = None
        try:
            finish(cell, self._root)
        except StoreError as error:
            self._asker.send(("blocked", str(error)))
        if cell.stays:
            self._idle = cell
        self._asker.send(("ended", cell.outcome))
