"""How much memory one cell could have on this machine if nothing else ran."""

from __future__ import annotations

import contextlib
from pathlib import Path

from scaling import machine
from scaling.engines.room import GPU_PROCESS_BYTES, PROCESS_BYTES


def cell_memory_bytes() -> int:
    """Of the largest GPU, else of the machine or the container, less what its process holds."""
    if sizes := machine.gpu_bytes():
        return max(sizes) - GPU_PROCESS_BYTES
    import psutil

    total = int(psutil.virtual_memory().total)
    with contextlib.suppress(OSError, ValueError):  # no container, or one without a limit
        total = min(total, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return total - PROCESS_BYTES
