"""A curve as rows of named values, one for each number of tokens, and back."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from scaling.record import CurvePoint

LEARNING_RATE = "train/learning_rate"


def nats_key(split: str, term: str) -> str:
    """The name of a loss in W&B, such as `validation/clm_nats`."""
    return f"{split}/{term}_nats"


def rows_of_curve(curve: Iterable[CurvePoint]) -> dict[int, dict[str, float]]:
    """tokens -> the readings made there."""
    rows: dict[int, dict[str, float]] = {}
    for point in curve:
        row = rows.setdefault(point.tokens, {LEARNING_RATE: point.learning_rate})
        row[nats_key(point.split, point.term)] = point.nats_per_target
    return dict(sorted(rows.items()))


def curve_of_rows(
    rows: Mapping[int, Mapping[str, Any]],
    series: Sequence[Sequence[str]],
    *,
    train_flops_per_token: float,
) -> list[CurvePoint]:
    """The curve that `rows_of_curve` made rows of.

    Args:
        rows: tokens -> named values; more of them than a curve has do no harm.
        series: (split, term) in their order at each reading.
    """
    points = []
    for tokens, row in sorted(rows.items()):
        for split, term in series:
            nats, rate = row.get(nats_key(split, term)), row.get(LEARNING_RATE)
            if isinstance(nats, int | float) and isinstance(rate, int | float):
                points.append(
                    CurvePoint(
                        tokens=tokens,
                        train_flops=tokens * train_flops_per_token,
                        split=split,  # type: ignore[arg-type]
                        term=term,
                        nats_per_target=float(nats),
                        learning_rate=float(rate),
                    )
                )
    return [point for point in points if math.isfinite(point.nats_per_target)]
