"""Differences of estimates with intervals, and the sentences that may be said about them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from analysis.values import Estimate, Interval

METHOD = "square-and-add of both intervals"


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """A claim about a number and the interval that it rests on.

    Attributes:
        topic: what it is about, the same whatever the outcome.
        sentence: what may be said, with the number and the interval.
        claim: the group that the claim is in favour of; empty if nothing is established.
        estimate: the number; `approach`: where it comes from.
        hedge: what the claim is never said without, such as "by laws that are in doubt".
    """

    topic: str
    sentence: str
    claim: str
    estimate: Estimate | None
    approach: str
    hedge: str = ""

    @property
    def is_established(self) -> bool:
        """Whether the interval leaves out "no difference"."""
        return bool(self.claim)


def difference(one: Estimate, other: Estimate, *, name: str) -> Estimate:
    """one - other, both from separate runs, with an interval made of theirs.

    The interval adds the squares of the distances between each estimate and its own ends, so that
    lopsided intervals stay lopsided, and it rests on the intervals that are printed.

    Source: Zou & Donner 2008, Statistics in Medicine 27, 1693-1702 (MOVER).
    """
    value = one.value - other.value
    interval = None
    if one.interval is not None and other.interval is not None:
        below = math.hypot(one.value - one.interval.low, other.interval.high - other.value)
        above = math.hypot(one.interval.high - one.value, other.value - other.interval.low)
        interval = Interval(
            low=value - below, high=value + above, level=one.interval.level, method=METHOD
        )
    spread = None
    if one.standard_error is not None and other.standard_error is not None:
        spread = math.hypot(one.standard_error, other.standard_error)
    return Estimate(
        name=name, value=value, unit=one.unit, standard_error=spread, interval=interval,
        intervals=(interval,) if interval else (), meaning=f"difference of {one.meaning or name}",
    )  # fmt: skip


def excludes(estimate: Estimate, value: float = 0.0) -> bool:
    """Whether the printed interval leaves out `value`; False without an interval."""
    interval = estimate.interval
    return interval is not None and not interval.low <= value <= interval.high


def signed(estimate: Estimate) -> str:
    """`+0.05 [0.01, 0.09]`, with as many digits as the interval supports."""
    interval = estimate.interval
    if interval is None:
        return f"{estimate.value:+.2g} (no interval)"
    width = interval.high - interval.low
    digits = 2
    if 0 < width < math.inf:
        digits = max(2 if width < 5 else 0, min(6, math.ceil(-math.log10(width / 5))))
        # An end that is not zero must not look like it: on its side the verdict rests.
        while digits < 6 and any(end and not round(end, digits) for end in _ends(interval)):
            digits += 1
    low, high = (
        f"{end:.{digits}f}" if math.isfinite(end) else "unbounded"
        for end in (interval.low, interval.high)
    )
    return f"{estimate.value:+.{digits}f} [{low}, {high}]"


def _ends(interval: Interval) -> tuple[float, ...]:
    return tuple(end for end in (interval.low, interval.high) if math.isfinite(end))


def exponent_verdict(
    estimate: Estimate, *, group: str, reference: str, quantity: str, approach: str
) -> Verdict:
    """The sentence about a difference of exponents, `estimate` = group - reference."""
    number = f"{quantity}({group}) - {quantity}({reference}) = {signed(estimate)}"
    level = f"{estimate.interval.level:.0%} interval, " if estimate.interval else ""
    basis = f"({level}{approach})"
    topic = exponent_topic(group, reference, quantity)
    if not excludes(estimate):
        return Verdict(
            topic=topic, sentence=f"not established: {number} {basis}", claim="",
            estimate=estimate, approach=approach,
        )  # fmt: skip
    larger = group if estimate.value > 0 else reference
    return Verdict(
        topic=topic, sentence=f"{larger} scales with the larger exponent: {number} {basis}",
        claim=larger, estimate=estimate, approach=approach,
    )  # fmt: skip


def exponent_topic(group: str, reference: str, quantity: str = "a") -> str:
    return f"{quantity}({group}) - {quantity}({reference})"
