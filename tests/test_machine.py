"""What the machine offers, and that the environment of training keeps to the user's own."""

from __future__ import annotations

import os

import pytest

from scaling import machine
from scaling.engines.local import seats


def test_the_user_s_own_variables_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    environment = machine.training_environment(3)
    assert "OMP_NUM_THREADS" not in environment
    assert environment["MKL_NUM_THREADS"] == "3"


@pytest.mark.parametrize(("system", "libc"), [("Darwin", ""), ("Linux", "musl")])
def test_the_allocator_is_told_nothing_where_it_is_not_glibc(
    monkeypatch: pytest.MonkeyPatch, system: str, libc: str
) -> None:
    monkeypatch.setattr("platform.system", lambda: system)
    monkeypatch.setattr("platform.libc_ver", lambda: (libc, ""))
    assert not machine.ALLOCATOR_ENVIRONMENT.keys() & machine.training_environment(1).keys()


@pytest.mark.parametrize("flags", ["fpu avx512_bf16", "fpu amx_bf16 amx_tile"])
def test_bf16_is_native_where_the_processor_says_so(
    monkeypatch: pytest.MonkeyPatch, flags: str
) -> None:
    monkeypatch.setattr(machine, "gpus", lambda: 0)
    monkeypatch.setattr(machine, "_cpuinfo", lambda key: flags)
    assert machine.native_bf16.__wrapped__()
    monkeypatch.setattr(machine, "_cpuinfo", lambda key: "fpu avx512f avx2")
    assert not machine.native_bf16.__wrapped__()


def test_seats_share_the_cores_without_overlap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(machine, "gpus", lambda: 0)
    monkeypatch.setattr(machine, "usable_cores", lambda: list(range(8)))
    monkeypatch.setattr(machine, "physical_cores", lambda: 8)
    three = seats(3)
    assert [seat.cores for seat in three] == [(0, 1), (2, 3), (4, 5)]
    assert {seat.threads for seat in three} == {2}
    crowded = seats(9)
    assert {(seat.cores, seat.threads) for seat in crowded} == {((), 1)}


def test_a_user_s_number_of_threads_holds_and_pins_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(machine, "gpus", lambda: 0)
    # Several agents on one machine would all sit on the first core.
    assert [(seat.threads, seat.cores) for seat in seats(1)] == [(1, ())]


def test_gpus_are_dealt_out_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "gpu_bytes", lambda: [80 << 30] * 2)
    assert [seat.gpus for seat in seats(4)] == [(0,), (1,), (0,), (1,)]
    assert {seat.cores for seat in seats(4)} == {()}


def test_no_more_cores_than_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3}, raising=False)
    assert machine.usable_cores() == [3]
    assert machine.physical_cores() == 1
