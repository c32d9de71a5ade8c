"""The seats of one machine: what each of the cells that it trains at a time may use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scaling import machine
from scaling.engines.child import Seat


@dataclass(frozen=True, kw_only=True, slots=True)
class Inventory:
    """What a machine has, as values.

    Attributes:
        cores: numbers of the logical processors that may be used.
        physical_cores: how many of them are no siblings.
        chosen_threads: the user's own number of threads per process.
        gpu_bytes: memory of each GPU.
    """

    cores: tuple[int, ...]
    physical_cores: int
    chosen_threads: int | None = None
    gpu_bytes: tuple[int, ...] = ()


def take_inventory() -> Inventory:
    return Inventory(
        cores=tuple(machine.usable_cores()),
        physical_cores=machine.physical_cores(),
        chosen_threads=machine.chosen_threads(),
        gpu_bytes=tuple(machine.gpu_bytes()),
    )


def count_seats(
    inventory: Inventory, *, cells_per_gpu: int = 1, needs_bytes: Sequence[int] = ()
) -> int:
    """One seat per core; on GPUs as many as the smallest cells find memory for, up to the cap.

    Args:
        needs_bytes: of the cells to train. Which of them go together is settled when they start:
            see `scaling.engines.packing`.
    """
    if not inventory.gpu_bytes:
        return inventory.physical_cores
    smallest = max(1, min(needs_bytes, default=1))
    return sum(max(1, min(cells_per_gpu, size // smallest)) for size in inventory.gpu_bytes)


def make_seats(inventory: Inventory, workers: int) -> list[Seat]:
    """What each of `workers` processes may use.

    Who sets OMP_NUM_THREADS shares the machine out among several launches, so none is pinned.
    """
    cores, chosen = inventory.cores, inventory.chosen_threads
    n_gpus = len(inventory.gpu_bytes)
    threads = chosen or max(1, inventory.physical_cores // workers)
    pinned = not n_gpus and chosen is None and workers * threads <= len(cores)
    return [
        Seat(
            threads=threads,
            cores=cores[i * threads : (i + 1) * threads] if pinned else (),
            gpus=(i % n_gpus,) if n_gpus else (),
        )
        for i in range(workers)
    ]


def merged(seats: Sequence[Seat]) -> Seat:
    """The seat of a cell that is trained on several: each of its devices has the threads of one."""
    return Seat(
        threads=seats[0].threads,
        cores=tuple(core for seat in seats for core in seat.cores),
        gpus=tuple(gpu for seat in seats for gpu in seat.gpus),
    )
