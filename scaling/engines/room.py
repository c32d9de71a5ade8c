"""The room that is left on this machine: measured, and less what the running cells will grow to."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from scaling import machine
from scaling.engines.packing import Need, Pool, Taken, room_bytes
from scaling.jobs import Job

# What a process holds beside its model and batch, on top of what it shares with its server:
# measured 35 MB on a CPU.
PROCESS_BYTES = 64 << 20
# On a GPU the context and the libraries' workspaces: an estimate.
GPU_PROCESS_BYTES = 700 << 20
# Left to the system and to everybody else.
_SPARED_BYTES = 256 << 20
# Asking the driver of a GPU costs tens of milliseconds.
_ASK_SECONDS = 2.0


class Room:
    """Seats and memory of this machine, in pools: one for the RAM, or one for each GPU.

    Args:
        seat_gpus: of each seat the number of its GPU; None where it has none.
    """

    def __init__(self, seat_gpus: Sequence[int | None], gpu_bytes: Sequence[int]) -> None:
        self._seat_gpus, self._on_gpus = seat_gpus, bool(gpu_bytes)
        self._asked = -_ASK_SECONDS
        self._free = list(gpu_bytes)
        if self._on_gpus:
            self._ask()
        # What others held at the start is not ours to count on.
        self._at_start = list(self._free)

    def need(self, job: Job) -> Need:
        own = GPU_PROCESS_BYTES if self._on_gpus else PROCESS_BYTES
        return Need(devices=job.devices, memory_bytes=job.memory_bytes + own)

    def pools(self, running: Sequence[tuple[Taken, int]]) -> list[Pool]:
        """What is free now.

        Args:
            running: what each cell has, and how many bytes of RAM it holds by now.
        """
        taken = [cell for cell, _ in running]
        busy = {seat for cell in taken for seats in cell.seats.values() for seat in seats}
        free = [seat for seat in range(len(self._seat_gpus)) if seat not in busy]
        if not self._on_gpus:
            held = [
                (len(cell.seats[0]) * cell.need.memory_bytes, held_bytes)
                for cell, held_bytes in running
            ]
            room = room_bytes(machine.free_memory_bytes() - _SPARED_BYTES, held)
            return [Pool(seats=tuple(free), room_bytes=room)]
        if time.monotonic() - self._asked > _ASK_SECONDS:
            self._ask()
        return [
            Pool(
                seats=tuple(seat for seat in free if self._seat_gpus[seat] == gpu),
                room_bytes=min(self._free[gpu], self._at_start[gpu] - _promised(gpu, taken)),
            )
            for gpu in range(len(self._free))
        ]

    def _ask(self) -> None:
        self._free = machine.gpu_free_bytes() or self._free
        self._asked = time.monotonic()


def _promised(gpu: int, running: Iterable[Taken]) -> int:
    return sum(len(cell.seats.get(gpu, ())) * cell.need.memory_bytes for cell in running)
