"""Between two processes: one trains without end, the other says how many steps at a time.

What a step costs after the start-up can then be compared between programs: each stands still while
another one works, in rounds, so that a slow minute of the machine meets all of them.
"""

from __future__ import annotations

import json
import resource
import time
from typing import IO, Any


class Enough(BaseException):
    """Nobody asks for more steps. Not an Exception, which a trainer may catch and report."""


class Gate:
    """The end of the process that trains; `passed` is called after every optimizer step."""

    def __init__(self, asked: IO[str], told: IO[str]) -> None:
        self._asked, self._told = asked, told
        self._left = 0
        self._steps = 0
        self._started = (0.0, 0.0)

    def built(self, params: int, **facts: Any) -> None:
        """Says what was built, and waits for the first steps to be asked for."""
        self._tell({"params": params, **facts})
        self._wait()

    def passed(self, steps: int = 1) -> None:
        """Counts finished steps; once they are as many as were asked for, tells and waits.

        Raises:
            Enough: no more are wanted.
        """
        self._left -= steps
        self._steps += steps
        if self._left > 0:
            return
        cpu_seconds, wall_seconds = (
            now - then for now, then in zip(_clocks(), self._started, strict=True)
        )
        self._tell({"steps": self._steps, "cpu_seconds": cpu_seconds, "wall_seconds": wall_seconds})
        self._wait()

    def _wait(self) -> None:
        asked = json.loads(self._asked.readline() or "{}")
        if "steps" not in asked:
            raise Enough
        self._left, self._steps = int(asked["steps"]), 0
        self._started = _clocks()

    def _tell(self, content: dict[str, Any]) -> None:
        self._told.write(json.dumps(content) + "\n")
        self._told.flush()


def _clocks() -> tuple[float, float]:
    """Seconds of CPU of this process, its threads and its ended children; and of the wall."""
    spent = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        usage = resource.getrusage(who)
        spent += usage.ru_utime + usage.ru_stime
    return spent, time.monotonic()
