"""The machine's own limits: matrix products and memory, as fast as one process gets them.

A share of these is what "efficiency" and MFU mean here: the peak is measured with the library that
training uses, not taken from a data sheet.
"""

# Tensor axes: M rows, K inner, N columns.

from __future__ import annotations

import time
from collections.abc import Callable

import torch

SQUARE = 1024
GPU_SQUARE = 8192
# Large against the caches, small against memory.
STREAM_BYTES = 256 << 20
_SECONDS = 0.4
_REPEATS = 5


def matmul_flops_per_second(
    m: int, k: int, n: int, dtype: torch.dtype, *, device: str = "cpu", seconds: float = _SECONDS
) -> float:
    """FLOPs per second of [m, k] x [k, n]: the best of several stretches of `seconds` in all.

    On the CPU seconds are those of this process on a core, so that what else runs does not count.
    """
    a_MK = torch.randn(m, k, device=device).to(dtype)
    b_KN = torch.randn(k, n, device=device).to(dtype)
    out_MN = torch.empty(m, n, dtype=dtype, device=device)
    best = _least_seconds(lambda: torch.mm(a_MK, b_KN, out=out_MN), device, seconds)
    return 2.0 * m * k * n / best


def copy_bytes_per_second(*, device: str = "cpu", seconds: float = _SECONDS) -> float:
    """Bytes read and written per second by a = b + s c over arrays beyond the caches.

    Source: the triad of McCalpin's STREAM benchmark, 1995.
    """
    n = STREAM_BYTES // 4
    a, b, c = (torch.ones(n, device=device) for _ in range(3))
    best = _least_seconds(lambda: torch.add(b, c, alpha=3.0, out=a), device, seconds)
    return 3.0 * 4 * n / best


def _least_seconds(work: Callable[[], object], device: str, seconds: float) -> float:
    """Seconds of one call in the fastest of some stretches."""
    once = _stretch(work, 1, device)  # the first one also sets libraries up
    once = min(once, _stretch(work, 1, device))
    calls = max(1, round(seconds / _REPEATS / max(once, 1e-7)))
    return min(_stretch(work, calls, device) for _ in range(_REPEATS))


def _stretch(work: Callable[[], object], calls: int, device: str) -> float:
    if device != "cpu":
        torch.cuda.synchronize()
        started = time.perf_counter()
        for _ in range(calls):
            work()
        torch.cuda.synchronize()
        return (time.perf_counter() - started) / calls
    # With several threads their seconds would add up: then the clock on the wall counts.
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    started = clock()
    for _ in range(calls):
        work()
    return (clock() - started) / calls
