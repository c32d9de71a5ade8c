"""Differences of a between two groups by every approach, and the verdict that they allow."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from analysis.agreement import AgreementResult, ApproachResult
from analysis.comparison import Difference
from analysis.difference import (
    Verdict,
    difference,
    excludes,
    exponent_topic,
    exponent_verdict,
)


def differences_of(
    arms: dict[str, AgreementResult], group: str, reference: str
) -> Iterator[Difference]:
    """a(group) - a(reference) by every approach."""
    for one in arms[group].approaches:
        other = arms[reference].named(one.name)
        assert other is not None, "both arms were fitted by the same approaches"
        yield _difference(one, other, group, reference)


def _difference(
    one: ApproachResult, other: ApproachResult, group: str, reference: str
) -> Difference:
    estimate, reason = None, ""
    if one.a is None or other.a is None:
        sides = ((group, one), (reference, other))
        reason = "; ".join(f"{name}: {side.reason}" for name, side in sides if side.a is None)
    else:
        estimate = difference(one.a, other.a, name="difference of a")
        doubts = [f"{name}: {side.doubts[0]}"
                  for name, side in ((group, one), (reference, other)) if side.doubts]  # fmt: skip
        reason = "; ".join(doubts)
    return Difference(
        group=group, reference=reference, approach=one.name, estimate=estimate,
        is_sound=one.is_sound and other.is_sound, reason=reason,
    )  # fmt: skip


def headline_verdict(differences: Sequence[Difference], group: str, reference: str) -> Verdict:
    """The verdict of the first sound approach, unless another sound one contradicts it."""
    own = [d for d in differences if d.group == group and d.estimate is not None]
    sound = [d for d in own if d.is_sound]
    if not sound:
        reasons = "; ".join(dict.fromkeys(f"{d.approach}: {d.reason}" for d in own))
        return Verdict(
            topic=exponent_topic(group, reference),
            sentence=f"not established: no approach gives a sound exponent for both {group} and "
            f"{reference} ({reasons or 'none could be fitted'})",
            claim="", estimate=None, approach="",
        )  # fmt: skip
    first = sound[0]
    assert first.estimate is not None
    verdict = exponent_verdict(
        first.estimate, group=group, reference=reference, quantity="a", approach=first.approach
    )
    opposed = [d for d in sound[1:] if d.estimate is not None and excludes(d.estimate)
               and d.estimate.value * first.estimate.value < 0]  # fmt: skip
    if verdict.is_established and opposed:
        return dataclasses.replace(
            verdict, claim="",
            sentence=f"not established, the approaches contradict each other: {verdict.sentence}; "
            f"{opposed[0].approach} gives {opposed[0].estimate.value:+.3g}",  # type: ignore[union-attr]
        )  # fmt: skip
    return verdict
