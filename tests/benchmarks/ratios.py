"""Ratios of what programs take, measured in rounds: each round has all of them, one by one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, kw_only=True, slots=True)
class Ratio:
    """How many times as fast, by round.

    Attributes:
        median, least, most: over the rounds in which both were measured.
    """

    median: float
    least: float
    most: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.least:.2f}-{self.most:.2f})"


def speed_ratio(seconds: Sequence[float], reference_seconds: Sequence[float]) -> Ratio:
    """How many times as fast as a reference, from seconds for the same work in the same rounds.

    The quotient is taken within each round, so that a slow minute cancels.

    Raises:
        ValueError: no rounds, not as many for both, or a time that is not positive and finite.
    """
    if not seconds or len(seconds) != len(reference_seconds):
        raise ValueError(
            f"{len(seconds)} rounds against {len(reference_seconds)}; both need the same rounds"
        )
    if not all(math.isfinite(s) and s > 0 for s in (*seconds, *reference_seconds)):
        raise ValueError("a time is not positive and finite; measure more steps a round")
    quotients = [theirs / ours for ours, theirs in zip(seconds, reference_seconds, strict=True)]
    return Ratio(median=median(quotients), least=min(quotients), most=max(quotients))


def rotated(names: Sequence[str], round_number: int) -> list[str]:
    """The order of a round: each name comes first, last and in the middle in its turn."""
    first = round_number % len(names)
    return [*names[first:], *names[:first]]
