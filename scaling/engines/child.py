"""The process of one cell: it belongs to its launcher, reports to it and dies with it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
from dataclasses import dataclass
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from scaling.errors import StoreError, describe_os_error
from scaling.jobs import Job
from scaling.redact import RedactedStream

# What a run gets to write its checkpoint when its launcher is gone.
GRACE_SECONDS = 20.0

_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Seat:
    """What a process may use: threads, the processors it is pinned to, and a GPU."""

    threads: int
    cores: tuple[int, ...] = ()
    gpu: int | None = None


def main(connection: Connection, root: Path, job: Job, seat: Seat) -> None:
    """Runs one cell, and sends `("progress", ...)` and at the end `("outcome", ...)`.

    A trouble that every cell would meet is sent as `("blocked", line)`.
    """
    prepare(seat, root / "cells" / job.run_id / "log.txt")
    from scaling.watch import Progress
    from scaling.worker import run_cell

    def on_progress(progress: Progress) -> None:
        _send(
            connection,
            "progress",
            {
                "tokens": progress.tokens,
                "tokens_per_second": progress.tokens_per_second,
                "losses": progress.losses,
            },
        )

    try:
        outcome = run_cell(root, job, on_progress=on_progress)
    except OSError as error:
        _send(connection, "blocked", describe_os_error(error, root))
        return
    except StoreError as error:
        _send(connection, "blocked", str(error))
        return
    _send(connection, "outcome", outcome)


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
    # A terminal sends Ctrl-C to the whole group of the launcher, which speaks for its children.
    os.setpgid(0, 0)
    if sys.platform == "linux":
        # The parent in the eyes of the kernel is the server that forked us.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
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
    sys.stdout, sys.stderr = RedactedStream(sys.stdout), RedactedStream(sys.stderr)


def _sit_down(seat: Seat) -> None:
    import torch

    if seat.cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, seat.cores)
    if seat.gpu is not None:
        # The user's own choice of devices is what the seats are numbered in.
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        names = visible.split(",") if visible else [str(i) for i in range(seat.gpu + 1)]
        os.environ["CUDA_VISIBLE_DEVICES"] = names[seat.gpu]
    torch.set_num_threads(seat.threads)
