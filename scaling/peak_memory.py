"""The most memory that the training of a cell held, measured and not estimated.

On a GPU torch counts what it allocated. On a CPU the kernel keeps the high-water mark of the
process, which lives as long as the process does: it is set back when an attempt begins, because
one process may train several cells.
"""

from __future__ import annotations

import ctypes
import gc
import platform
from dataclasses import dataclass
from pathlib import Path

import torch

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_RESET_HIGH_WATER = "5"
_NOT_BEGUN = "the attempt ended before training began"


@dataclass(frozen=True, kw_only=True, slots=True)
class Memory:
    """What provenance says of memory; all of the process, on the first device of several.

    Attributes:
        peak_memory_bytes: null where it cannot be told.
        memory_at_start_bytes: held when training began: libraries and text. The rest is the
            model and its batch, which `scaling.accounting.memory_bytes` estimates.
        peak_memory_kind: how it was measured, or why it was not.
    """

    peak_memory_bytes: int | None
    memory_at_start_bytes: int | None
    peak_memory_kind: str


class _Meter:
    """The measurement of the attempt that this process is at."""

    def __init__(self) -> None:
        self.attempts = 0
        self.at_start_bytes: int | None = None
        self.failure: str | None = _NOT_BEGUN


_meter = _Meter()


def begin() -> None:
    """Starts the measurement of an attempt; call it when text and libraries are loaded."""
    _meter.attempts += 1
    _meter.failure = None
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        _meter.at_start_bytes = torch.cuda.memory_allocated()
        return
    if _meter.attempts > 1:
        _give_back()
    try:
        _CLEAR.write_text(_RESET_HIGH_WATER)
    except OSError as error:
        if _meter.attempts > 1 or not _STATUS.exists():
            _meter.failure = f"the high-water mark cannot be set back: {error.strerror}"
            return
    _meter.at_start_bytes = _status_bytes("VmRSS")


def read() -> Memory:
    """The peak since `begin`; the next attempt has to begin anew."""
    failure, _meter.failure = _meter.failure, _NOT_BEGUN
    if failure is not None:
        return Memory(peak_memory_bytes=None, memory_at_start_bytes=None, peak_memory_kind=failure)
    if torch.cuda.is_available():
        return Memory(
            peak_memory_bytes=torch.cuda.max_memory_allocated(),
            memory_at_start_bytes=_meter.at_start_bytes,
            peak_memory_kind="allocated by torch on the GPU",
        )
    peak = _status_bytes("VmHWM")
    known = peak is not None
    return Memory(
        peak_memory_bytes=peak,
        memory_at_start_bytes=_meter.at_start_bytes if known else None,
        peak_memory_kind="resident in the process" if known else "the kernel does not tell",
    )


def _give_back() -> None:
    """Returns what an earlier cell has freed, which would count as this one's."""
    gc.collect()
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def _status_bytes(key: str) -> int | None:
    try:
        lines = _STATUS.read_text().splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith(f"{key}:"))
    except (OSError, StopIteration, ValueError, IndexError):
        return None
