"""The heartbeat of a claim, and what is looked at with each beat."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from scaling import cancel, claims
from scaling.claims import Claim, ClaimLost


@contextlib.contextmanager
def heart(
    claim: Claim, *each_beat: Callable[[], None], on_lost: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """Renews the claim until the block ends, or the claim has ended or is lost.

    Args:
        each_beat: called after each beat, in the heart's own thread.
        on_lost: called there when another has taken the claim over.
    """
    stopped = threading.Event()

    def beat() -> None:
        while not stopped.wait(claims.HEARTBEAT_SECONDS):
            try:
                claim.beat()
                for act in each_beat:
                    act()
            except ClaimLost:
                if not claim.given_up.is_set():
                    on_lost()
                return
            except OSError:
                continue  # a file server that is away for a moment

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


class CancelWatch:
    """Stops this process's training once its cell is marked, as a signal from outside would."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._stopped = folder, False

    def look(self) -> None:
        # Once: a second signal would break into the writing of what the first one asked for.
        if not self._stopped and cancel.is_marked(self._folder):
            self._stopped = True
            os.kill(os.getpid(), signal.SIGTERM)
