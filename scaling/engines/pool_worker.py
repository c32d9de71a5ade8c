"""A worker that trains what it finds in the store until nothing is left for it.

    python -m scaling.engines.pool_worker --root runs --jobs runs/quickstart/slurm/jobs.json

Whatever starts processes, on whichever machine, can start this. It is told which jobs there are and
nothing else: what has ended, what runs and what may start, each worker reads in the store.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from types import FrameType
from typing import Literal

from scaling import claims
from scaling.engines.cell_process import Running
from scaling.engines.child import Seat
from scaling.engines.crew import Crew, make_crew
from scaling.engines.job_file import read_jobs
from scaling.engines.local import seats
from scaling.errors import StoreError
from scaling.jobs import Queue
from scaling.store import Store

# Within this time a claim is seen to beat, or grows stale and its cell can be taken: who has
# waited so long knows that everything that is left is in the hands of the living.
IDLE_SECONDS = claims.STALE_SECONDS + 6 * claims.HEARTBEAT_SECONDS

# What a shell takes as "try again later".
EXIT_STOPPED = 75

_LOOK_SECONDS = 0.5
_REFRESH_SECONDS = 5.0
# A large checkpoint takes a while; batch systems warn a minute and more before they kill.
_PATIENCE_SECONDS = 60.0


class Told:
    """Which signal told this process to stop, if one did."""

    def __init__(self) -> None:
        self.by: signal.Signals | None = None

    def stop(self, number: int, frame: FrameType | None) -> None:
        # It may come between any two instructions, so it leaves word and does nothing more.
        self.by = signal.Signals(number)


@dataclass(frozen=True, kw_only=True, slots=True)
class Shift:
    """What became of a worker.

    Attributes:
        end: the sweep is `finished`, `others` train what is left, or a signal `stopped` it.
        trained: some cell got further.
    """

    end: Literal["finished", "others", "stopped"]
    trained: bool


@contextlib.contextmanager
def told_by_signals() -> Iterator[Told]:
    """SIGTERM, SIGINT, SIGHUP and SIGUSR1, which batch systems send before the time is up."""
    told = Told()
    wanted = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)
    before = {number: signal.signal(number, told.stop) for number in wanted}
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Worker:
    """Trains the jobs of a file that want `devices` each, as many at a time as it has seats for."""

    def __init__(self, root: Path, jobs: Path, *, devices: int, table: Sequence[Seat]) -> None:
        self._root, self._file, self._devices, self._table = root, jobs, devices, table
        self._content = b""
        self._crew: Crew | None = None
        self._trained = False
        self._queue = self._read()

    def work(self, told: Told, *, idle_seconds: float = IDLE_SECONDS) -> Shift:
        """Trains until nothing can be taken for `idle_seconds`, or a signal has told it to stop.

        Raises:
            StoreError: no cell can be trained here, such as when the disk is full.
        """
        try:
            end = self._loop(told, idle_seconds)
        finally:
            stopped = self._crew.stop(patience_seconds=_PATIENCE_SECONDS) if self._crew else []
            for cell in stopped:
                self._note(cell)
        return Shift(end=end, trained=self._trained)

    def _loop(self, told: Told, idle_seconds: float) -> Literal["finished", "others", "stopped"]:
        busy_at = looked_at = -float("inf")
        while told.by is None:
            now = time.monotonic()
            has_room = (len(self._running) + 1) * self._devices <= len(self._table)
            if has_room and now - looked_at > _REFRESH_SECONDS:
                self._queue.refresh()
                # Looking at a slow file system must not become what this process does.
                looked_at = now + 20 * (time.monotonic() - now)
                self._fill()
            if self._running:
                busy_at = now
                processes = [cell.process.sentinel for cell in self._running]
                connections = [cell.connection for cell in self._running]
                wait([*processes, *connections], timeout=_LOOK_SECONDS)
            elif not self._queue.unfinished:
                if not self._is_changed():
                    return "finished"
                self._queue, looked_at = self._read(), -float("inf")
            elif busy_at < 0:
                busy_at = now
            elif now - busy_at > idle_seconds:
                return "others"
            else:
                time.sleep(_LOOK_SECONDS)
            if self._reap():
                looked_at = -float("inf")
        return "stopped"

    @property
    def _running(self) -> list[Running]:
        return self._crew.running if self._crew else []

    def _fill(self) -> None:
        if self._crew is None:
            if next(self._queue.waiting(), None) is None:
                return  # who finds nothing to do need not import what training takes
            self._crew = make_crew(self._root, self._table)
        before = self._running
        self._crew.fill(self._queue)
        for cell in self._running:
            if cell not in before:
                print(f"{cell.job.run_id}: starts", flush=True)

    def _reap(self) -> bool:
        """Whether a cell has ended."""
        if self._crew is None:
            return False
        before = self._running
        self._crew.reap(self._queue)
        ended = [cell for cell in before if cell not in self._running]
        for cell in ended:
            self._note(cell)
        return bool(ended)

    def _note(self, cell: Running) -> None:
        print(f"{cell.job.run_id}: {cell.outcome or 'died'}", flush=True)
        ended = cell.outcome not in (None, "busy", "interrupted")
        self._trained |= ended or bool(cell.progress)

    def _read(self) -> Queue:
        self._content = self._file.read_bytes()
        jobs = [job for job in read_jobs(self._file) if job.devices == self._devices]
        return Queue(jobs, Store(self._root))

    def _is_changed(self) -> bool:
        """Whether a launch has given the sweep other jobs in the meantime."""
        return self._file.read_bytes() != self._content


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m scaling.engines.pool_worker")
    parser.add_argument("--root", type=Path, required=True, help="the store")
    parser.add_argument("--jobs", type=Path, required=True, help="the file of the jobs")
    parser.add_argument("--devices", type=int, default=1, help="take the jobs that want so many")
    parser.add_argument("--cells", type=int, default=1, help="cells at a time")
    return parser.parse_args(arguments)


def serve(arguments: argparse.Namespace) -> Shift:
    """Works on what the arguments of `parse` name, and says in one line how it ended."""
    with told_by_signals() as told:
        worker = Worker(
            arguments.root.absolute(),
            arguments.jobs,
            devices=arguments.devices,
            table=seats(arguments.cells * arguments.devices),
        )
        shift = worker.work(told)
    says = {
        "finished": "nothing is left to train",
        "others": "other workers train what is left",
        "stopped": f"stopped by {told.by.name if told.by else None}",
    }
    print(says[shift.end], flush=True)
    return shift


if __name__ == "__main__":
    try:
        sys.exit(EXIT_STOPPED if serve(parse()).end == "stopped" else 0)
    except StoreError as error:
        sys.exit(f"error: {error}")
