"""The processes of a run that is trained on several devices of one machine.

The process that has the claim, the signals and the engine's ear is rank 0; it starts the others,
and none outlives it. Lightning has launchers of its own that cannot serve here: one repeats the
command line, which is that of a whole sweep, the other moves rank 0 into a process of its own,
away from all it is responsible for. A fresh interpreter is started for each rank, since a process
that has threads or a GPU must not be forked.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import TCPStore

from scaling import rank_process
from scaling.errors import is_out_of_memory
from scaling.rank_process import RankPart, join_group, seated, shares

# What a rank may take to start: two imports of torch on a busy machine.
START_SECONDS = 300.0
# Longest silence of a rank: it must cover a checkpoint on a slow disk.
SILENCE_SECONDS = 600.0
# How long a lost connection waits for the word of the rank that was lost.
CAUSE_SECONDS = 5.0
# When rank 0 has not noticed by itself that a rank is gone: a GPU waits for ever.
NOTICE_SECONDS = 30.0
# Exit code of a rank 0 that could not be reached any more.
RANK_LOST = 70


class RankDied(RuntimeError):
    """Another process of the run was killed or fell silent: the run goes on from its checkpoint."""


class RankFailed(RuntimeError):
    """Another process of the run failed; the message is its own."""


@dataclass(eq=False, slots=True)
class _Rank:
    number: int
    process: SpawnProcess
    connection: Connection
    is_ready: bool = False
    failure: tuple[float, bool, str] | None = None

    def read(self) -> None:
        with contextlib.suppress(EOFError, OSError):
            while self.connection.poll():
                kind, content = self.connection.recv()
                if kind == "ready":
                    self.is_ready = True
                else:
                    self.failure = content


@contextlib.contextmanager
def together(
    n_ranks: int, work: Callable[..., None], *arguments: Any, quiet: tuple[type[Exception], ...]
) -> Iterator[None]:
    """Runs the block as rank 0 while each other rank r runs `work(r, *arguments)`.

    All of them are in torch's default process group. Each takes its share of the threads and of
    the processors that this process was pinned to.

    Args:
        n_ranks: one for no other process and no group.
        work, arguments: can be pickled.
        quiet: what `work` may raise, as the block does at the same step, and is no failure.
    Raises:
        RankDied: a rank was killed, or did not answer in time.
        RankFailed, torch.OutOfMemoryError: what a rank said before it ended.
    """
    if n_ranks == 1:
        yield
        return
    timeout = timedelta(seconds=SILENCE_SECONDS)
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False, timeout=timeout)
    crew: list[_Rank] = []
    over = threading.Event()
    mine, *others = shares(n_ranks)
    with seated(mine):
        try:
            for number, share in enumerate(others, start=1):
                crew.append(
                    _start(
                        RankPart(
                            number=number,
                            n_ranks=n_ranks,
                            port=store.port,
                            silence_seconds=SILENCE_SECONDS,
                            share=share,
                            work=work,
                            arguments=arguments,
                            quiet=quiet,
                        )
                    )
                )
            _await_ready(crew)
            watch = threading.Thread(target=_notice, args=(crew, over), name="rank-watch")
            watch.daemon = True
            watch.start()
            join_group(0, n_ranks, store, SILENCE_SECONDS)
            yield
            # Before the others have gone: on GPUs it takes all of them.
            dist.destroy_process_group()
            _await_end(crew)
        except RuntimeError as error:
            # A connection that broke tells nothing; whoever broke it may have.
            is_of_torch = type(error) is RuntimeError or isinstance(error, dist.DistError)
            cause = _cause(crew, error) if is_of_torch and not is_out_of_memory(error) else None
            if cause is None:
                raise
            raise cause from error
        finally:
            _end(crew)
            if dist.is_initialized():
                dist.destroy_process_group()
            over.set()


def _start(part: RankPart) -> _Rank:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(
        target=rank_process.main, args=(theirs, part), name=f"rank-{part.number}", daemon=True
    )
    process.start()
    theirs.close()
    return _Rank(number=part.number, process=process, connection=ours)


def _await_ready(crew: list[_Rank]) -> None:
    """Before this, a rank that never comes would be waited for in a place that cannot be left."""
    deadline = time.monotonic() + START_SECONDS
    while not all(rank.is_ready for rank in crew):
        if cause := _ended_badly(crew):
            raise cause
        if time.monotonic() > deadline:
            late = [rank.number for rank in crew if not rank.is_ready]
            raise RankDied(f"rank {late[0]} did not start within {START_SECONDS:g} seconds")
        wait([rank.connection for rank in crew if not rank.is_ready], timeout=0.5)
        for rank in crew:
            rank.read()


def _await_end(crew: list[_Rank]) -> None:
    """The others end by themselves, having done the same steps."""
    deadline = time.monotonic() + SILENCE_SECONDS
    for rank in crew:
        rank.process.join(max(0.0, deadline - time.monotonic()))
    if cause := _ended_badly(crew):
        raise cause


def _cause(crew: list[_Rank], error: Exception) -> Exception | None:
    """Which rank is behind an error of rank 0, if one is.

    Its connection is lost before its process is gone, which is waited for.
    """
    deadline = time.monotonic() + CAUSE_SECONDS
    while time.monotonic() < deadline:
        if cause := _ended_badly(crew):
            return cause
        wait([rank.process.sentinel for rank in crew], timeout=0.1)
    if "timed out" in str(error).lower():
        return RankDied(f"a rank did not answer within {SILENCE_SECONDS:g} seconds; see log.txt")
    return None


def _ended_badly(crew: list[_Rank]) -> Exception | None:
    """The first cause: ranks that lose the connection to a lost one fail in their turn."""
    for rank in crew:
        rank.read()
    for rank in crew:
        code = rank.process.exitcode
        if code is not None and code < 0:
            name = signal.Signals(-code).name
            return RankDied(f"rank {rank.number} was killed by {name}; see log.txt")
    failures = [(rank.failure, rank.number) for rank in crew if rank.failure is not None]
    for (_, out_of_memory, line), number in sorted(failures):
        if out_of_memory:
            return torch.OutOfMemoryError(f"rank {number}: {line}")
    for (_, _, line), number in sorted(failures):
        return RankFailed(f"rank {number}: {line}")
    for rank in crew:
        if rank.process.exitcode:
            return RankDied(
                f"rank {rank.number} ended with exit code {rank.process.exitcode}; see log.txt"
            )
    return None


def _notice(crew: list[_Rank], over: threading.Event) -> None:
    """Ends this process when a rank is gone and the main thread waits for it all the same."""
    while not over.wait(0.5):
        if any(rank.process.exitcode for rank in crew):
            if over.wait(NOTICE_SECONDS):
                return
            print(f"rank 0 ends: {_ended_badly(crew)}", file=sys.stderr, flush=True)
            os._exit(RANK_LOST)


def _end(crew: list[_Rank]) -> None:
    for rank in crew:
        if rank.process.is_alive():
            rank.process.kill()
        rank.process.join()
        rank.connection.close()
