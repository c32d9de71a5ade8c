"""CPU-seconds of a command with all its descendants, those that outlive their parents too."""

from __future__ import annotations

import ctypes
import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True, kw_only=True, slots=True)
class Spent:
    """Of one command, or of several one after the other."""

    seconds: float
    cpu_seconds: float

    def __add__(self, other: Spent) -> Spent:
        return Spent(
            seconds=self.seconds + other.seconds, cpu_seconds=self.cpu_seconds + other.cpu_seconds
        )


def run_all(commands: Sequence[Sequence[str]], *, at_a_time: int, env: Mapping[str, str]) -> Spent:
    """Runs commands, so many at a time, and waits for all that they started.

    Raises:
        subprocess.CalledProcessError: one of them failed.
    """
    if sys.platform == "linux":
        # Processes whose parent has ended become our children, and so does their time.
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
    started, before = time.monotonic(), _children_seconds()
    waiting, running = list(reversed(commands)), {}
    while waiting or running:
        while waiting and len(running) < at_a_time:
            command = waiting.pop()
            process = subprocess.Popen(command, env=dict(env), stdout=subprocess.DEVNULL)
            running[process.pid] = process
        pid, status = os.wait()
        if pid in running:
            process = running.pop(pid)
            process.returncode = code = os.waitstatus_to_exitcode(status)
            if code:
                raise subprocess.CalledProcessError(code, process.args)
    seconds = time.monotonic() - started
    while _reap():
        pass
    return Spent(seconds=seconds, cpu_seconds=_children_seconds() - before)


def _reap() -> bool:
    """Waits for one more descendant; False where none is left."""
    try:
        os.wait()
    except ChildProcessError:
        return False
    return True


def _children_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
