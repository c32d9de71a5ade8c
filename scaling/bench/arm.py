"""An arm: a program that trains a shape in a process of its own, so many steps at a time.

    python -m scaling.bench.arm MODULE:FUNCTION

The environment (threads, allocator, import path) is settled before the process starts. It imports
FUNCTION once and forks for each shape, so that no shape inherits what another left in memory.
`FUNCTION(shape, gate)` trains without end; see `scaling.bench.gate`.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import IO, Any

from scaling.bench.gate import Enough, Gate
from scaling.bench.shape import Shape

Train = Callable[[Shape, Gate], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Lap:
    """So many steps and what they took."""

    steps: int
    cpu_seconds: float
    wall_seconds: float


class ArmError(ValueError):
    """An arm that could not be started or broke off; the message has the last line it wrote."""


class Arm:
    """The end of whoever asks."""

    def __init__(
        self, function: str, environment: Mapping[str, str], *, cores: Collection[int] = ()
    ) -> None:
        """Starts the process.

        Args:
            function: `module:name` of a `Train`.
            environment: all of it, not only what differs from this process's.
            cores: numbers of the processors that it may use; none for all.
        """
        self._process = subprocess.Popen(
            [sys.executable, "-m", "scaling.bench.arm", function],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # trainers talk; what goes wrong comes as an answer
            text=True,
            env=dict(environment),
        )
        if cores and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(self._process.pid, cores)

    def build(self, shape: Shape) -> dict[str, Any]:
        """Has a shape built; the answer holds `params`, the number of its parameters.

        Raises:
            ArmError: it cannot be.
        """
        return self._ask({"shape": shape.to_dict()})

    def run(self, steps: int) -> Lap:
        """Has so many steps done. Raises ArmError where they fail."""
        self.start(steps)
        return self.lap()

    def start(self, steps: int) -> None:
        """Asks for steps without waiting for them, so that several arms work at the same time."""
        self._send({"steps": steps})

    def lap(self) -> Lap:
        """Waits for the steps that were asked for. Raises ArmError where they fail."""
        return Lap(**self._receive())

    def end_shape(self) -> None:
        """Ends the training of the shape, so that another one can be built."""
        self._ask({"end": True})

    def close(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _ask(self, content: dict[str, Any]) -> dict[str, Any]:
        self._send(content)
        return self._receive()

    def _send(self, content: dict[str, Any]) -> None:
        assert self._process.stdin is not None, "it was opened as a pipe"
        with contextlib.suppress(OSError):  # that it has gone is seen when it does not answer
            self._process.stdin.write(json.dumps(content) + "\n")
            self._process.stdin.flush()

    def _receive(self) -> dict[str, Any]:
        assert self._process.stdout is not None, "it was opened as a pipe"
        if not (line := self._process.stdout.readline()):
            raise ArmError(f"the process ended with exit code {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise ArmError(answer["error"])
        return answer


def _main(function: str) -> None:
    # What trainers print must not come between the answers.
    told = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    try:
        train = _load(function)
    except Exception as error:
        _tell(told, {"error": _one_line(error)})
        return
    while line := sys.stdin.readline():
        asked = json.loads(line)
        if "shape" not in asked:
            _tell(told, {"error": "no shape was built"})
            continue
        told.flush()
        if (pid := os.fork()) == 0:
            os._exit(_train(train, Shape(**asked["shape"]), told))
        _, status = os.waitpid(pid, 0)
        if os.WIFSIGNALED(status):
            _tell(told, {"error": f"killed by signal {os.WTERMSIG(status)}"})


def _load(function: str) -> Train:
    module, _, name = function.partition(":")
    train: Train = getattr(importlib.import_module(module), name)
    return train


def _train(train: Train, shape: Shape, told: IO[str]) -> int:
    """Returns the exit code of the fork."""
    try:
        train(shape, Gate(sys.stdin, told))
    except Enough:
        _tell(told, {"ended": True})
    except Exception as error:
        _tell(told, {"error": _one_line(error)})
        return 1
    return 0


def _tell(told: IO[str], content: dict[str, Any]) -> None:
    with contextlib.suppress(BrokenPipeError):
        told.write(json.dumps(content) + "\n")
        told.flush()


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


if __name__ == "__main__":
    _main(sys.argv[1])
