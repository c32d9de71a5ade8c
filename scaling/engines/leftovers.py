"""What a cell may leave behind in its process: put back, or the process ends.

A cell that starts in a process which has trained others must end with the same bits as in a fresh
one. `scaling.train.run` seeds and builds all that it uses; this guards what lies outside of it.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
from collections.abc import Callable
from multiprocessing import active_children
from typing import Any

import torch

from scaling import machine

# Over this a fresh process, which costs some tens of milliseconds, is the better neighbour.
GROWN_BYTES = 256 << 20

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP)

# Switches of torch that change what is computed, or how long it takes.
_SWITCHES: tuple[tuple[Callable[[], Any], Callable[[Any], Any]], ...] = (
    (torch.get_rng_state, torch.set_rng_state),
    (torch.get_default_dtype, torch.set_default_dtype),
    (torch.get_num_threads, torch.set_num_threads),
    (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    (torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode),
    (torch.is_grad_enabled, torch.set_grad_enabled),
    (torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
)


class Baseline:
    """The state of a fresh process, taken before its first cell."""

    def __init__(self) -> None:
        self._environment = dict(os.environ)
        self._folder = os.getcwd()
        self._handlers = {number: signal.getsignal(number) for number in _SIGNALS}
        self._switches = [get() for get, _ in _SWITCHES]
        self._threads = set(threading.enumerate())
        self._bytes = machine.private_bytes()

    def restore(self) -> bool:
        """Puts the state back; False where something is left that only an exit ends."""
        if set(threading.enumerate()) - self._threads or active_children():
            return False
        os.chdir(self._folder)
        if dict(os.environ) != self._environment:
            os.environ.clear()
            os.environ.update(self._environment)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        for (_, put), value in zip(_SWITCHES, self._switches, strict=True):
            put(value)
        _forget_compiled()
        gc.collect()
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            torch.cuda.empty_cache()
            if torch.cuda.memory_allocated():
                return False
        return machine.private_bytes() - self._bytes < GROWN_BYTES


def _forget_compiled() -> None:
    # After some recompilations dynamo falls back to eager mode, which rounds otherwise.
    if "torch._dynamo.utils" in sys.modules and sys.modules["torch._dynamo.utils"].counters:
        torch._dynamo.reset()
        sys.modules["torch._dynamo.utils"].counters.clear()
