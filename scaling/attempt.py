"""What surrounds an attempt at a cell: signals that stop it, its heartbeat, its time limit."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from scaling import claims
from scaling.claims import Claim, ClaimLost
from scaling.watch import Interrupted


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Outside the training loop, which has its own way, a signal stops the attempt at once."""

    def stop(number: int, frame: FrameType | None) -> None:
        for other in wanted:  # a second word must not cut short what the first one began
            signal.signal(other, signal.SIG_IGN)
        raise Interrupted(f"signal {signal.Signals(number).name} before the first step")

    wanted = (signal.SIGTERM, signal.SIGUSR1)
    before = {number: signal.signal(number, stop) for number in wanted}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def heart(claim: Claim) -> Iterator[None]:
    """Renews the claim until the block ends, or the claim is lost."""
    stopped = threading.Event()

    def beat() -> None:
        while not stopped.wait(claims.HEARTBEAT_SECONDS):
            try:
                claim.beat()
            except ClaimLost:
                return  # the next checkpoint or the result finds out for itself
            except OSError:
                continue  # a file server that is away for a moment

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


class Alarm:
    """Stops this process's training after some seconds, in the way a signal from outside does."""

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
