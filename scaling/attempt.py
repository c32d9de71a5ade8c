"""What stops an attempt at a cell: signals, and its time limit."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from scaling.watch import Interrupted

_AGAIN_SECONDS = 0.05


class Noted:
    """A handler for the time beside an attempt: it notes the signal for the attempt that begins,
    and after one for whoever began it."""

    def __init__(self) -> None:
        self.heard = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.heard = True


class Stop:
    """Whether a signal has asked this attempt to stop.

    What the handler raises can get lost: in a library that turns any exception into its own.
    So whoever comes by asks here, and stops again.
    """

    def __init__(self) -> None:
        self.reason: str | None = None
        self._heard = True

    @contextlib.contextmanager
    def hearing(self) -> Iterator[None]:
        """While the block lasts, a signal that came at a bad time is sent again."""
        try:
            yield
        finally:
            self._heard = False

    def later(self) -> None:
        """Has the signal come again in a moment."""

        def send() -> None:
            if self._heard:
                self.again()

        timer = threading.Timer(_AGAIN_SECONDS, send)
        timer.daemon = True
        timer.start()

    def again(self) -> None:
        """Within the training loop: asks it to stop, if the first time was in vain."""
        if self.reason is not None:
            os.kill(os.getpid(), signal.SIGTERM)

    def check(self) -> None:
        """Outside of it: raises Interrupted, if the first time was in vain."""
        if self.reason is not None:
            raise Interrupted(self.reason)


@contextlib.contextmanager
def stoppable() -> Iterator[Stop]:
    """Outside the training loop, which has its own way, a signal stops the attempt at once."""
    wish = Stop()

    def stop(number: int, frame: FrameType | None) -> None:
        wish.reason = f"signal {signal.Signals(number).name} before the first step"
        if _in_finalizer(frame):
            wish.later()  # what is raised there goes nowhere
            return
        for other in wanted:  # a second word must not cut short what the first one began
            signal.signal(other, signal.SIG_IGN)
        raise Interrupted(wish.reason)

    wanted = (signal.SIGTERM, signal.SIGUSR1)
    before = {number: signal.signal(number, stop) for number in wanted}
    try:
        earlier = before[signal.SIGTERM]
        if isinstance(earlier, Noted) and earlier.heard:
            raise Interrupted("signal SIGTERM before the cell was claimed")
        with wish.hearing():
            yield wish
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _in_finalizer(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False


class Alarm:
    """Stops this process's training once, in the way a signal from outside does."""

    def __init__(self) -> None:
        self.rang = False

    def ring(self) -> None:
        self.rang = True
        os.kill(os.getpid(), signal.SIGTERM)


@contextlib.contextmanager
def alarm_after(seconds: float | None) -> Iterator[Alarm]:
    """Rings after some seconds, unless the block has ended."""
    alarm = Alarm()
    if seconds is None:
        yield alarm
        return
    timer = threading.Timer(seconds, alarm.ring)
    timer.daemon = True
    timer.start()
    try:
        yield alarm
    finally:
        timer.cancel()
