"""Which cell starts where: seats and memory as plain values.

The longest chain comes first, and what does not fit waits. Shorter cells may overtake it as long
as it could still start when one of the running cells ends: so memory and seats are not idle while
it waits, and it never starves.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True, kw_only=True, slots=True)
class Need:
    """What a cell takes: so many devices, and memory on each."""

    devices: int = 1
    memory_bytes: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Pool:
    """Seats that share one memory: the processors with the RAM, or one GPU.

    Attributes:
        seats: numbers of the free ones.
        room_bytes: memory that nobody has taken or been promised.
    """

    seats: tuple[int, ...]
    room_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Taken:
    """A cell that runs: its need, and its seats by the place of their pool."""

    need: Need
    seats: dict[int, tuple[int, ...]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Start:
    """The cell to start: its place among those that wait, and where.

    Attributes:
        alone: nothing else runs, and it does not fit all the same.
    """

    index: int
    taken: Taken
    alone: bool = False


def next_start(
    waiting: Iterable[Need], pools: Sequence[Pool], running: Sequence[Taken]
) -> Start | None:
    """The first of the waiting that may start now; None when all have to wait."""
    if not any(pool.seats for pool in pools):
        return None
    head: Need | None = None
    for index, need in enumerate(waiting):
        taken = place(need, pools)
        if head is None:
            if taken is not None:
                return Start(index=index, taken=taken)
            if not running:
                return Start(index=index, taken=_squeezed(need, pools), alone=True)
            head = need
        elif taken is not None and _leaves_a_way(head, after(pools, taken), running):
            return Start(index=index, taken=taken)
    return None


def place(need: Need, pools: Sequence[Pool]) -> Taken | None:
    """Seats for a cell: in one pool all of them, else one in each of several pools."""
    per_pool = need.devices if len(pools) == 1 else 1
    fitting = [
        number
        for number, pool in enumerate(pools)
        if len(pool.seats) >= per_pool and pool.room_bytes >= per_pool * need.memory_bytes
    ]
    n_pools = 1 if len(pools) == 1 else need.devices
    if len(fitting) < n_pools:
        return None
    # The emptiest first: cells that share a GPU slow each other down.
    fitting.sort(key=lambda number: (-len(pools[number].seats), -pools[number].room_bytes))
    chosen = fitting[:n_pools]
    return Taken(need=need, seats={number: pools[number].seats[:per_pool] for number in chosen})


def after(pools: Sequence[Pool], taken: Taken, *, ended: bool = False) -> list[Pool]:
    """The pools once a cell has started, or has ended."""
    changed = list(pools)
    for number, seats in taken.seats.items():
        pool = changed[number]
        promised = len(seats) * taken.need.memory_bytes
        changed[number] = replace(
            pool,
            seats=tuple(sorted({*pool.seats, *seats} if ended else {*pool.seats} - {*seats})),
            room_bytes=pool.room_bytes + (promised if ended else -promised),
        )
    return changed


def room_bytes(free_bytes: int, running: Iterable[tuple[int, int]]) -> int:
    """What is left of the free memory once the running cells have grown to what they need.

    Args:
        running: of each what it needs and what it holds already.
    """
    return free_bytes - sum(max(0, needed - held) for needed, held in running)


def _leaves_a_way(head: Need, pools: Sequence[Pool], running: Sequence[Taken]) -> bool:
    return any(place(head, after(pools, taken, ended=True)) for taken in running)


def _squeezed(need: Need, pools: Sequence[Pool]) -> Taken:
    """Seats for a cell that fits nowhere: the emptiest ones, as far as there are any."""
    if len(pools) == 1:
        return Taken(need=need, seats={0: pools[0].seats[: need.devices]})
    order = sorted(
        (number for number, pool in enumerate(pools) if pool.seats),
        key=lambda number: -pools[number].room_bytes,
    )
    return Taken(
        need=need, seats={number: pools[number].seats[:1] for number in order[: need.devices]}
    )
