"""Which cell starts where: on made-up machines, as values."""

from __future__ import annotations

import pytest

from scaling.engines.child import Seat
from scaling.engines.packing import Need, Pool, Start, Taken, after, next_start, place, room_bytes
from scaling.engines.seats import Inventory, count_seats, make_seats, merged

GB = 10**9


def ram(n_seats: int, gigabytes: float) -> list[Pool]:
    return [Pool(seats=tuple(range(n_seats)), room_bytes=int(gigabytes * GB))]


def need(gigabytes: float, devices: int = 1) -> Need:
    return Need(devices=devices, memory_bytes=int(gigabytes * GB))


def filled(waiting: list[Need], pools: list[Pool]) -> list[Start]:
    """All that start before any ends."""
    waiting, started = list(waiting), []
    while (start := next_start(waiting, pools, [s.taken for s in started])) is not None:
        pools = after(pools, start.taken)
        del waiting[start.index]
        started.append(start)
    return started


def simulated(waiting: list[Need], pools: list[Pool], *, newcomers: int = 0) -> list[Need]:
    """The order of starts where cells end in order; small ones come again."""
    waiting, running, order = list(waiting), list[Taken](), list[Need]()
    while waiting or running:
        while (start := next_start(waiting, pools, running)) is not None:
            pools = after(pools, start.taken)
            assert start.alone or all(pool.room_bytes >= 0 for pool in pools)
            order.append(waiting.pop(start.index))
            running.append(start.taken)
        ended = running.pop(0)
        pools = after(pools, ended, ended=True)
        if newcomers and ended.need.memory_bytes < GB:
            newcomers -= 1
            waiting.append(ended.need)
    return order


def test_cells_start_in_their_order_while_seats_and_memory_last() -> None:
    started = filled([need(3), need(2), need(2), need(1)], ram(4, 6))
    assert [start.taken.need for start in started] == [need(3), need(2), need(1)]
    assert [start.taken.seats for start in started] == [{0: (0,)}, {0: (1,)}, {0: (2,)}]


def test_a_cell_that_fits_nowhere_is_started_alone() -> None:
    [start] = filled([need(9), need(1)], ram(4, 6))
    assert start.alone
    assert start.taken.need == need(9)
    # With another one there it waits, and nobody overtakes it.
    running = [Taken(need=need(1), seats={0: (0,)})]
    pools = after(ram(4, 6), running[0])
    assert next_start([need(9), need(1)], pools, running) is None


def test_small_cells_overtake_only_what_can_start_all_the_same() -> None:
    running = [Taken(need=need(4), seats={0: (0,)})]
    pools = after(ram(4, 6), running[0])
    # The head needs 5: when the running one ends, 6 are there, of which one may be taken.
    assert next_start([need(5), need(1)], pools, running) == Start(
        index=1, taken=Taken(need=need(1), seats={0: (1,)})
    )
    assert next_start([need(5), need(1.5)], pools, running) is None


def test_a_large_cell_does_not_starve_among_small_ones() -> None:
    order = simulated([need(4), need(5), *[need(0.5)] * 20], ram(4, 6), newcomers=200)
    # Those that were let past it are the ones that fit beside it.
    assert order.index(need(5)) < 30
    assert len(order) == 222


def test_a_gang_gets_its_seats_though_single_cells_keep_coming() -> None:
    gang = need(0.1, devices=3)
    order = simulated([need(0.2), need(0.2), gang, *[need(0.1)] * 10], ram(4, 6), newcomers=100)
    assert order.index(gang) < 5
    started = filled([gang, need(0.1), need(0.1)], ram(4, 6))
    assert [start.taken.seats for start in started] == [{0: (0, 1, 2)}, {0: (3,)}]


def test_a_gang_that_is_larger_than_the_machine_takes_all_of_it() -> None:
    [start] = filled([need(1, devices=8)], ram(4, 20))
    assert start.alone
    assert start.taken.seats == {0: (0, 1, 2, 3)}


def test_gpus_fill_evenly_and_a_gang_takes_one_seat_on_each() -> None:
    pools = [Pool(seats=(0, 2), room_bytes=80 * GB), Pool(seats=(1, 3), room_bytes=80 * GB)]
    started = filled([need(30), need(30), need(30), need(30)], pools)
    assert [start.taken.seats for start in started] == [{0: (0,)}, {1: (1,)}, {0: (2,)}, {1: (3,)}]
    taken = place(need(60, devices=2), pools)
    assert taken is not None
    assert taken.seats == {0: (0,), 1: (1,)}
    assert place(need(60, devices=3), pools) is None


def test_running_cells_are_promised_what_they_will_grow_to() -> None:
    assert room_bytes(10 * GB, [(4 * GB, 1 * GB), (2 * GB, 3 * GB)]) == 7 * GB


@pytest.mark.parametrize(
    ("gpu_bytes", "cap", "needs", "expected"),
    [
        ((), 4, [1], 8),
        ((80 * GB, 80 * GB), 1, [GB], 2),
        ((80 * GB, 80 * GB), 4, [GB, 70 * GB], 8),
        ((80 * GB, 24 * GB), 4, [12 * GB], 6),
        ((8 * GB,), 4, [12 * GB], 1),
        ((8 * GB,), 4, [], 4),
    ],
)
def test_seats_follow_from_memory_and_a_cap(
    gpu_bytes: tuple[int, ...], cap: int, needs: list[int], expected: int
) -> None:
    machine = Inventory(cores=tuple(range(16)), physical_cores=8, gpu_bytes=gpu_bytes)
    assert count_seats(machine, cells_per_gpu=cap, needs_bytes=needs) == expected


def test_a_cell_on_several_seats_has_all_their_cores_and_gpus() -> None:
    machine = Inventory(cores=tuple(range(8)), physical_cores=8)
    assert merged(make_seats(machine, 4)[:2]) == Seat(threads=2, cores=(0, 1, 2, 3))
    with_gpus = Inventory(cores=tuple(range(8)), physical_cores=8, gpu_bytes=(GB, GB))
    assert merged(make_seats(with_gpus, 2)) == Seat(threads=4, gpus=(0, 1))
