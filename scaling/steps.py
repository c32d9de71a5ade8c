"""What a run reads, step by step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scaling.lit import LitRun

# What Lightning does around a call costs as much as a small model's whole step: so many share it.
STEPS_PER_CALL = 32


class Stretches:
    """The steps of one run from where it starts to its end, as many as Lightning sees at a time.

    What each step reads is a function of (seed, step) alone, so numbers are all there is to give.
    """

    def __init__(self, run: LitRun) -> None:
        self._run = run

    def __iter__(self) -> Iterator[range]:
        total = self._run.spec.total_steps
        for first in range(self._run.first_step, total, STEPS_PER_CALL):
            yield range(first, min(first + STEPS_PER_CALL, total))


def count_steps(loops: dict[str, Any], steps: int) -> None:
    """Has the loops of a checkpoint say that so many steps are done, and nothing is under way.

    Lightning counts its calls, of which a step may be in the middle, and resumes by these counts.
    """
    epoch = loops["fit_loop"]
    epoch["epoch_loop.state_dict"]["_batches_that_stepped"] = steps
    for name in ("batch_progress", "manual_optimization.optim_step_progress"):
        for span in ("total", "current"):
            counts = epoch[f"epoch_loop.{name}"][span]
            counts.update(dict.fromkeys(counts, steps))
