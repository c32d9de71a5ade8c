"""The rows that a run sends to its logger while it trains."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from scaling.curve_rows import rows_of_curve
from scaling.lit import LitRun
from scaling.throughput import TOKENS_PER_SECOND, TRAIN_FLOPS_PER_SECOND


class RunLogger(Protocol):
    """Where rows go while a run trains, such as W&B."""

    def log_row(
        self, row: dict[str, float], *, tokens: int, train_flops: float, step: int
    ) -> None: ...


def row_writer(
    logger: RunLogger, lit: LitRun, *, with_trunk: bool, speed: Callable[[], float]
) -> Callable[[int, dict[str, float]], None]:
    """Sends each reading with its counters.

    Args:
        with_trunk: whether the run starts from another run's trunk, whose readings then go
            ahead of its own, so that its curve is whole.
        speed: tokens per second.
    """
    batch_tokens = lit.spec.batch_tokens
    trunk_is_missing = with_trunk

    def send(step: int, row: dict[str, float]) -> None:
        tokens = step * batch_tokens
        train_flops = tokens * lit.train_flops_per_token
        logger.log_row(row, tokens=tokens, train_flops=train_flops, step=step)

    def write(step: int, row: dict[str, float]) -> None:
        nonlocal trunk_is_missing
        if trunk_is_missing:
            trunk_is_missing = False
            taken_over = rows_of_curve(lit.curve[: lit.readings_taken_over])
            for tokens, readings in taken_over.items():
                send(tokens // batch_tokens, readings)
        tokens_per_second = speed()
        throughput = {
            TOKENS_PER_SECOND: tokens_per_second,
            TRAIN_FLOPS_PER_SECOND: tokens_per_second * lit.train_flops_per_token,
        }
        send(step, row | throughput)

    return write
