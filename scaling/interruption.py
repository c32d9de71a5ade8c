"""Ctrl-C that is heard even where a library swallows it.

Torch turns an interruption of its imports into a warning, and what Python calls on its own, such
as a finalizer, loses every exception. So it is noted, and whoever goes on for long asks.
"""

from __future__ import annotations

import signal
from types import FrameType

# What a shell reports of a command that Ctrl-C ended.
EXIT_CODE = 130

_noted = False


def listen() -> None:
    """From here on Ctrl-C is noted, and raises KeyboardInterrupt as ever; once per process."""
    # Whoever started us may have had it ignored, as `nohup` and the background of a script do.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _note)


def was_heard() -> bool:
    return _noted


def check() -> None:
    """Raises KeyboardInterrupt if the first one was in vain."""
    if _noted:
        raise KeyboardInterrupt


def _note(number: int, frame: FrameType | None) -> None:
    global _noted
    _noted = True
    raise KeyboardInterrupt
