"""The processes of one run: whatever ends one of them ends all of them, and is told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from multiprocessing import active_children
from pathlib import Path

import psutil
import pytest
import torch
import torch.distributed as dist

from scaling import machine, ranks
from scaling.rank_process import shares
from scaling.ranks import RankDied, RankFailed, together


class Agreed(Exception):
    """What all ranks raise together."""


def total(number: int) -> float:
    summed = torch.tensor(float(number))
    dist.all_reduce(summed)
    return float(summed)


def add(rank: int) -> None:
    total(rank)


def agree(rank: int) -> None:
    total(rank)
    raise Agreed


def fail(rank: int) -> None:
    if rank == 2:
        raise ValueError("no such thing")
    total(rank)


def run_out_of_memory(rank: int) -> None:
    torch.empty(1 << 60)


def kill_itself(rank: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def stop_itself(rank: int) -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def write_seat(rank: int, path: Path) -> None:
    path.write_text(f"{torch.get_num_threads()} {sorted(os.sched_getaffinity(0))}")


def nobody_is_left() -> None:
    assert active_children() == []
    assert not dist.is_initialized()


def test_one_device_takes_no_other_process() -> None:
    with together(1, add, quiet=()):
        assert not dist.is_initialized()
        assert active_children() == []


@pytest.mark.slow
def test_ranks_share_a_group_and_end_together() -> None:
    with together(3, add, quiet=()):
        assert total(0) == 3.0
    nobody_is_left()
    with pytest.raises(Agreed), together(2, agree, quiet=(Agreed,)):
        agree(0)
    nobody_is_left()


@pytest.mark.slow
def test_the_failure_of_a_rank_is_told_in_its_own_words() -> None:
    # Rank 1 fails as well, when it loses rank 2: that is not the cause.
    with (
        pytest.raises(RankFailed, match=r"^rank 2: ValueError: no such thing$"),
        together(3, fail, quiet=()),
    ):
        total(0)
    nobody_is_left()
    with (
        pytest.raises(torch.OutOfMemoryError, match=r"^rank 1: RuntimeError: .*allocate memory"),
        together(2, run_out_of_memory, quiet=()),
    ):
        total(0)
    nobody_is_left()


@pytest.mark.slow
def test_a_rank_that_is_killed_is_told() -> None:
    with (
        pytest.raises(RankDied, match=r"^rank 1 was killed by SIGKILL; see log.txt$"),
        together(2, kill_itself, quiet=()),
    ):
        total(0)
    nobody_is_left()


@pytest.mark.slow
def test_a_rank_that_falls_silent_is_not_waited_for_without_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ranks, "SILENCE_SECONDS", 10.0)
    monkeypatch.setattr(ranks, "CAUSE_SECONDS", 0.5)
    started = time.monotonic()
    with (
        pytest.raises(RankDied, match="did not answer within 10 seconds"),
        together(2, stop_itself, quiet=()),
    ):
        total(0)
    assert time.monotonic() - started < 60
    nobody_is_left()


@pytest.mark.slow
def test_an_error_of_rank_0_takes_the_others_along() -> None:
    with pytest.raises(ValueError, match="mine"), together(2, add, quiet=()):
        raise ValueError("mine")
    nobody_is_left()


@pytest.mark.slow
def test_no_rank_outlives_rank_0() -> None:
    script = (
        "import time\n"
        "from scaling.ranks import together\n"
        "from tests.test_ranks import add\n"
        "from multiprocessing import active_children\n"
        "with together(2, add, quiet=()):\n"
        "    print(active_children()[0].pid, flush=True)\n"
        "    time.sleep(600)\n"
    )
    rank_0 = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert rank_0.stdout is not None
    rank_1 = psutil.Process(int(rank_0.stdout.readline()))
    rank_1.send_signal(signal.SIGTERM)  # it is not the one to be told
    rank_0.kill()
    rank_0.wait()
    rank_0.stdout.close()
    rank_1.wait(timeout=20)


@pytest.mark.parametrize(
    ("threads", "cores", "expected"),
    [
        (2, [4, 5, 6, 7], [(2, (4, 5)), (2, (6, 7))]),  # a seat of two devices
        (1, [0, 1], [(1, (0,)), (1, (1,))]),
        (8, [0, 1, 2, 3, 4, 5, 6, 7], [(4, ()), (4, ())]),  # a whole machine, and no engine
        (2, [0, 1, 2, 3, 4, 5, 6, 7], [(2, ()), (2, ())]),  # OMP_NUM_THREADS is set
        (1, [3], [(1, ()), (1, ())]),
    ],
)
def test_ranks_divide_what_the_cell_may_use(
    threads: int,
    cores: list[int],
    expected: list[tuple[int, tuple[int, ...]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(machine, "usable_cores", lambda: cores)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert [(share.threads, share.cores) for share in shares(2)] == expected


@pytest.mark.slow
@pytest.mark.skipif(len(machine.usable_cores()) < 2, reason="needs two processors")
def test_each_rank_sits_on_its_share(tmp_path: Path) -> None:
    cores = os.sched_getaffinity(0)
    seat = sorted(cores)[:2]
    try:
        os.sched_setaffinity(0, seat)
        with together(2, write_seat, tmp_path / "seat", quiet=()):
            mine = torch.get_num_threads(), os.sched_getaffinity(0)
        assert mine == (1, {seat[0]})
        assert (tmp_path / "seat").read_text() == f"1 [{seat[1]}]"
        assert os.sched_getaffinity(0) == set(seat)
    finally:
        os.sched_setaffinity(0, cores)
