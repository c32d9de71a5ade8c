"""Times of one shape in all programs: rounds over the programs, in an order that rotates."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from scaling.bench.arm import Arm, ArmError
from scaling.bench.shape import Shape
from tests.benchmarks.ratios import rotated
from tests.benchmarks.step.arms import PROGRAMS, environment, missing

WARM_UP_STEPS = 3
# After these, what compiles has compiled.
COMPILE_STEPS = 3


@dataclass(kw_only=True, slots=True)
class Crew:
    """The processes of the programs; each lives through all shapes."""

    arms: dict[str, Arm] = field(default_factory=dict)

    def arm(self, name: str) -> Arm:
        if name not in self.arms:
            program = PROGRAMS[name]
            self.arms[name] = Arm(f"tests.benchmarks.step.{program.function}", environment(program))
        return self.arms[name]

    def drop(self, name: str) -> None:
        self.arms.pop(name).close()

    def close(self) -> None:
        for arm in self.arms.values():
            arm.close()
        self.arms.clear()


def measure(
    shape: Shape,
    names: Sequence[str],
    crew: Crew,
    *,
    rounds: int,
    seconds: float,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Parameters, and CPU-seconds per token by program and round; why a program has none.

    Args:
        seconds: of CPU that each program gets in a round.
    """
    params: dict[str, int] = {}
    why_not: dict[str, str] = {}
    steps: dict[str, int] = {}
    for name in names:
        if (reason := missing(PROGRAMS[name])) is not None:
            why_not[name] = reason
            continue
        try:
            params[name] = crew.arm(name).build(shape)["params"]
            crew.arm(name).run(COMPILE_STEPS)
            lap = crew.arm(name).run(WARM_UP_STEPS)
        except ArmError as error:
            params.pop(name, None)
            why_not[name] = f"failed: {error}"
            crew.drop(name)
            continue
        steps[name] = max(1, math.ceil(seconds * lap.steps / lap.cpu_seconds))
        say(f"{shape.name}: {name} warm, {1e3 * lap.cpu_seconds / lap.steps:.0f} ms a step")
    times: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(rounds):
        for name in rotated(list(steps), number):
            lap = crew.arm(name).run(steps[name])
            times[name].append(lap.cpu_seconds / lap.steps / shape.batch_tokens)
    for name in steps:
        crew.arm(name).end_shape()
    return {
        "shape": shape.to_dict(),
        "params": params,
        "cpu_seconds_per_token": times,
        "not_measured": why_not,
    }
