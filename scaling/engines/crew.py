"""The processes of a launch on this machine: seats, who sits there, and who waits for a cell."""

from __future__ import annotations

import logging
import multiprocessing
from collections.abc import Iterator, Sequence
from multiprocessing.context import ForkServerContext
from pathlib import Path

from scaling import machine
from scaling.engines.cell_process import (
    CELL_PREFIX,
    STOP_SECONDS,
    Running,
    dismiss,
    finish,
    fork_server,
    hand_over,
    start,
    stop,
)
from scaling.engines.child import RunCell, Seat
from scaling.engines.packing import Need, Taken, next_start
from scaling.engines.room import Room
from scaling.engines.seats import merged
from scaling.jobs import Job, Queue
from scaling.words import describe

# What a process may have gathered by then that nobody thought of ends with it.
CELLS_PER_PROCESS = 50

_log = logging.getLogger(__name__)


class Crew:
    """Trains cells in processes that stay for the next one.

    Attributes:
        running: the cells that are being trained.
    """

    def __init__(
        self,
        context: ForkServerContext,
        root: Path,
        seats: Sequence[Seat],
        room: Room,
        run_cell: RunCell | None = None,
    ) -> None:
        self._context, self._root, self._run_cell = context, root, run_cell
        self._seats, self._room = seats, room
        self._taken: dict[Running, Taken] = {}
        self._idle: dict[int, Running] = {}

    @property
    def running(self) -> list[Running]:
        return list(self._taken)

    def fill(self, queue: Queue) -> None:
        """Starts what may start now."""
        while len(self._taken) < len(self._seats):
            seen: list[Job] = []
            pools = self._room.pools([(t, _held_bytes(cell)) for cell, t in self._taken.items()])
            found = next_start(self._needs(queue, seen), pools, list(self._taken.values()))
            if found is None:
                return
            job = seen[found.index]
            if not queue.is_free(job):
                continue  # another launcher was first
            if found.alone:
                _say_alone(job, found.taken, max(pool.room_bytes for pool in pools))
            self._start(job, found.taken)
            queue.here.add(job.run_id)

    def reap(self, queue: Queue) -> None:
        """Takes leave of the cells that have ended.

        Raises:
            StoreError: one met a trouble that every cell would meet.
        """
        for cell in self.running:
            if not cell.ended:
                continue
            del self._taken[cell]
            queue.here.discard(cell.job.run_id)
            finish(cell, self._root)
            if cell.stays:
                self._idle[cell.seat] = cell
            if cell.outcome is None:
                queue.put_back(cell.job)
            queue.refresh(cell.job.run_id)

    def stop(self, *, patience_seconds: float = STOP_SECONDS) -> list[Running]:
        """Has every process write its checkpoint and end.

        Returns:
            The cells that were being trained, with their outcome where they had the time.
        """
        # One that Ctrl-C caught between its start and its place here would go on to its horizon.
        for process in multiprocessing.active_children():
            if process.name.startswith(CELL_PREFIX):
                process.terminate()
        stopped = self.running
        stop([*stopped, *self._idle.values()], patience_seconds=patience_seconds)
        for cell in (*stopped, *self._idle.values()):
            cell.read()
            cell.connection.close()
        self._taken.clear()
        self._idle.clear()
        return stopped

    def _needs(self, queue: Queue, seen: list[Job]) -> Iterator[Need]:
        """What the waiting cells need, in their order; the jobs themselves go to `seen`."""
        for job in queue.waiting():
            seen.append(job)
            yield self._room.need(job)

    def _start(self, job: Job, taken: Taken) -> None:
        numbers = [number for seats in taken.seats.values() for number in seats]
        idle = {number: self._idle.pop(number) for number in numbers if number in self._idle}
        if len(numbers) == 1 and job.devices == 1 and idle:
            waiting = idle.pop(numbers[0])
            if waiting.process.exitcode is None:
                self._taken[hand_over(waiting, job)] = taken
                return
            idle[numbers[0]] = waiting
        for waiting in idle.values():
            dismiss(waiting)
        seat = merged([self._seats[number] for number in numbers])
        # Several devices leave process groups and variables behind.
        limit = CELLS_PER_PROCESS if job.devices == 1 else 1
        cell = start(
            self._context,
            self._root,
            job,
            seat,
            numbers[0],
            limit=limit,
            run_cell=self._run_cell,
        )
        self._taken[cell] = taken


def make_crew(root: Path, seats: Sequence[Seat], run_cell: RunCell | None = None) -> Crew:
    """A crew that uses the memory of this machine, as far as it is free."""
    room = Room([seat.gpus[0] if seat.gpus else None for seat in seats], machine.gpu_bytes())
    return Crew(fork_server(seats[0].threads), root, seats, room, run_cell)


def _held_bytes(cell: Running) -> int:
    """Memory that a cell has taken so far, beside what its process shares with its server."""
    if cell.server_pid is None or cell.process.pid is None:
        return 0
    inherited = machine.private_bytes(cell.server_pid)
    return max(0, machine.private_bytes(cell.process.pid) - inherited)


def _say_alone(job: Job, taken: Taken, room_bytes: int) -> None:
    n_seats = sum(map(len, taken.seats.values()))
    if n_seats < job.devices:
        _log.warning(
            "%s asks for %d devices and %d are here: it is started alone on those",
            describe(job.labels) or job.run_id, job.devices, n_seats,
        )  # fmt: skip
        return
    _log.warning(
        "%s needs an estimated %.1f GB and %.1f GB are free: it is started alone",
        describe(job.labels) or job.run_id,
        n_seats * taken.need.memory_bytes / 1e9,
        max(0, room_bytes) / 1e9,
    )
