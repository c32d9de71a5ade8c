"""The process of one rank of a run, and the part that it takes of what the cell may use."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from typing import Any

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import TCPStore

from scaling import machine
from scaling.errors import is_out_of_memory

_LOOPBACK = {"linux": "lo", "darwin": "lo0"}
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """What one rank may use of the processors; no cores where it is not pinned to any."""

    threads: int
    cores: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class RankPart:
    """All that the process of a rank is told.

    Attributes:
        port: where rank 0 has the ranks meet.
        silence_seconds: how long a rank waits for another one.
        work, arguments: what it does, as `work(number, *arguments)`.
        quiet: what all ranks raise together, at the same step.
    """

    number: int
    n_ranks: int
    port: int
    silence_seconds: float
    share: Share
    work: Callable[..., None]
    arguments: tuple[Any, ...]
    quiet: tuple[type[Exception], ...]


def main(connection: Connection, part: RankPart) -> None:
    """The process of a rank but the first. It has no say: rank 0 hears the signals for all."""
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    _die_with_rank_0()
    try:
        with seated(part.share):
            timeout = timedelta(seconds=part.silence_seconds)
            store = TCPStore("127.0.0.1", part.port, is_master=False, timeout=timeout)
            connection.send(("ready", None))
            join_group(part.number, part.n_ranks, store, part.silence_seconds)
            with contextlib.suppress(*part.quiet):
                part.work(part.number, *part.arguments)
    except Exception as error:
        traceback.print_exc()
        line = f"{type(error).__name__}: {' '.join(str(error).split())}"[:500]
        connection.send(("failed", (time.monotonic(), is_out_of_memory(error), line)))
        sys.stderr.flush()
        # An orderly exit would wait for the others.
        os._exit(1)
    dist.destroy_process_group()
    sys.stdout.flush()
    sys.stderr.flush()
    # The threads of what a sharded model leaves behind abort an orderly exit now and then.
    os._exit(0)


def _die_with_rank_0() -> None:
    parent = parent_process()
    assert parent is not None
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, name="rank-0-watch", daemon=True).start()


def join_group(number: int, n_ranks: int, store: TCPStore, silence_seconds: float) -> None:
    """Connects this process with the others; it waits for them."""
    if not machine.gpus() and sys.platform in _LOOPBACK:
        # Else the machine's own name is looked up, which fails on many.
        os.environ.setdefault("GLOO_SOCKET_IFNAME", _LOOPBACK[sys.platform])
    if machine.gpus():
        torch.cuda.set_device(number)
    dist.init_process_group(
        "nccl" if machine.gpus() else "gloo",
        store=store,
        rank=number,
        world_size=n_ranks,
        timeout=timedelta(seconds=silence_seconds),
    )


def shares(n_ranks: int) -> list[Share]:
    """What each rank may use of the processors of this process.

    A seat for several devices names the threads of one of them and the processors of all. Where
    there are not that many, as in a process that no engine started, the ranks divide what is there.
    """
    threads, cores = torch.get_num_threads(), machine.usable_cores()
    each = max(1, min(threads, len(cores) // n_ranks))
    pinned = len(cores) == threads * n_ranks
    return [
        Share(threads=each, cores=tuple(cores[i * each : (i + 1) * each]) if pinned else ())
        for i in range(n_ranks)
    ]


@contextlib.contextmanager
def seated(share: Share) -> Iterator[None]:
    """Keeps this process to its share until the block ends."""
    threads = torch.get_num_threads()
    cores = os.sched_getaffinity(0) if share.cores else None
    torch.set_num_threads(share.threads)
    if share.cores:
        os.sched_setaffinity(0, share.cores)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        if cores is not None:
            os.sched_setaffinity(0, cores)
