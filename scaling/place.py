"""Where a process runs: the machine, its boot and its process space, and which process it is."""

from __future__ import annotations

import contextlib
import os
import socket
from functools import cache
from pathlib import Path


@cache
def place() -> str:
    """The machine, its boot and its process space: where a process id means one process."""
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(os.readlink("/proc/self/ns/pid"))
    return "/".join(parts)


def started(pid: int) -> str | None:
    """When the process started, in the kernel's own count; None when it is gone."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        if Path("/proc/self/stat").exists():
            return None
        return _started_without_proc(pid)
    # The name of the program, in brackets, may itself hold brackets and spaces.
    state, *numbers = status.rpartition(")")[2].split()
    return None if state == "Z" else numbers[18]


def _started_without_proc(pid: int) -> str | None:
    import psutil

    try:
        return str(psutil.Process(pid).create_time())
    except psutil.NoSuchProcess:
        return None
