"""A process that trains cells: it belongs to its launcher, reports to it and dies with it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from scaling.errors import StoreError, describe_os_error
from scaling.jobs import Job, Outcome
from scaling.redact import RedactedStream

# What a run gets to write its checkpoint when its launcher is gone.
GRACE_SECONDS = 20.0

_PR_SET_PDEATHSIG = 1

# `scaling.worker.run_cell`, or what stands in for it where launching itself is measured.
RunCell = Callable[..., Outcome]


@dataclass(frozen=True, kw_only=True, slots=True)
class Seat:
    """What a process may use: threads, the processors it is pinned to, and GPUs by number."""

    threads: int
    cores: tuple[int, ...] = ()
    gpus: tuple[int, ...] = ()


def main(
    connection: Connection, root: Path, seat: Seat, limit: int, run_cell: RunCell | None
) -> None:
    """Trains the cells that come over the connection one after the other, `limit` at most.

    Sends for each the fields of `cell_process.Running` as they become known: `server_pid`,
    `progress`, `blocked` for a trouble that every cell would meet, `stays`, and last `outcome`.
    """
    _belong_to_parent()
    _sit_down(seat)
    from scaling.attempt import Noted
    from scaling.engines.leftovers import Baseline

    if run_cell is None:
        from scaling import worker

        run_cell = worker.run_cell
    baseline = Baseline()
    for number in range(1, limit + 1):
        try:
            job: Job = connection.recv()
        except (EOFError, OSError):
            return  # dismissed
        _redirect_output(root / "cells" / job.run_id / "log.txt")
        # The cell listens for itself; none comes between its end and its outcome.
        signal.signal(signal.SIGTERM, asked := Noted())
        outcome = _run(connection, root, job, run_cell)
        stays = number < limit and outcome == "done" and baseline.restore()
        _send(connection, "stays", stays)
        _send(connection, "outcome", outcome)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if not stays or asked.heard:
            return


def _run(connection: Connection, root: Path, job: Job, run_cell: RunCell) -> Outcome | None:
    from scaling.watch import Progress

    def on_progress(progress: Progress) -> None:
        _send(connection, "progress", asdict(progress))

    _send(connection, "server_pid", os.getppid())
    try:
        return run_cell(root, job, on_progress=on_progress)
    except OSError as error:
        _send(connection, "blocked", describe_os_error(error, root))
    except StoreError as error:
        _send(connection, "blocked", str(error))
    return None


def prepare(seat: Seat, log: Path) -> None:
    """What a process of the engine does before it trains: nothing of it may change a result."""
    _belong_to_parent()
    _redirect_output(log)
    _sit_down(seat)


def _send(connection: Connection, kind: str, content: Any) -> None:
    # A launcher that is gone has no use for news; the store has what matters.
    with contextlib.suppress(OSError):
        connection.send((kind, content))


def _belong_to_parent() -> None:
    # Unlike the server that forked us; a SIGTERM that has come meanwhile ends us here.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    # A terminal sends Ctrl-C to the whole group of the launcher, which speaks for its children.
    os.setpgid(0, 0)
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if sys.platform == "linux":
        from scaling.engines import preloaded

        # The parent in the eyes of the kernel is the server that forked us; one that died
        # before this call would send no signal any more.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != preloaded.SERVER_PID:
            os.killpg(0, signal.SIGKILL)
    threading.Thread(target=_outlive_no_launcher, name="launcher-watch", daemon=True).start()


def _outlive_no_launcher() -> None:
    launcher = parent_process()
    assert launcher is not None, "a cell runs in a child process"
    wait([launcher.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os.killpg(0, signal.SIGKILL)


def _redirect_output(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    if not isinstance(sys.stdout, RedactedStream):
        sys.stdout, sys.stderr = RedactedStream(sys.stdout), RedactedStream(sys.stderr)


def _sit_down(seat: Seat) -> None:
    import torch

    if seat.cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, seat.cores)
    if seat.gpus:
        # The user's own choice of devices is what the seats are numbered in.
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        names = visible.split(",") if visible else [str(i) for i in range(max(seat.gpus) + 1)]
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(names[gpu] for gpu in seat.gpus)
    torch.set_num_threads(seat.threads)
