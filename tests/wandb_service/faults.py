"""What may go wrong with a service: it answers an error, or late."""

from __future__ import annotations

import threading
from collections import Counter


class Faults:
    """How requests are answered from now on.

    Attributes:
        status: of every answer, such as 500 or 429; None answers as asked.
        after: only requests whose path begins so go wrong.
        refused: how many requests went wrong, by status.
    """

    def __init__(self) -> None:
        self.status: int | None = None
        self.after = "/"
        self.refused: Counter[int] = Counter()
        self._delay_seconds = 0.0
        self._healed = threading.Event()

    def answer_with(self, status: int, after: str = "/") -> None:
        self.status, self.after = status, after

    def answer_after(self, seconds: float) -> None:
        self._delay_seconds = seconds
        self._healed.clear()

    def heal(self) -> None:
        """Answers as asked again, also the requests that wait."""
        self.status, self._delay_seconds, self.after = None, 0.0, "/"
        self._healed.set()

    def of(self, path: str) -> int | None:
        """The status that a request gets; waits where the service is slow."""
        if self._delay_seconds:
            self._healed.wait(self._delay_seconds)
        if self.status is not None and path.startswith(self.after):
            self.refused[self.status] += 1
            return self.status
        return None
