"""Differences of estimates and what may be said about them."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.difference import difference, excludes, exponent_verdict, signed
from analysis.values import Estimate, Interval


def _estimate(value: float, low: float, high: float) -> Estimate:
    interval = Interval(low=low, high=high, level=0.95, method="test")
    return Estimate(name="a", value=value, unit="1", interval=interval, intervals=(interval,))


def test_symmetric_intervals_add_in_squares() -> None:
    gap = difference(_estimate(0.6, 0.57, 0.63), _estimate(0.5, 0.46, 0.54), name="gap")
    assert gap.value == pytest.approx(0.1)
    assert gap.interval is not None
    assert (gap.interval.low, gap.interval.high) == pytest.approx((0.05, 0.15))


def test_a_lopsided_side_stays_on_its_side() -> None:
    gap = difference(_estimate(0.6, 0.59, 0.9), _estimate(0.5, 0.49, 0.51), name="gap")
    assert gap.interval is not None
    assert gap.interval.high - gap.value > 20 * (gap.value - gap.interval.low)
    # What the subtracted number may be above its estimate, the difference may be below.
    gap = difference(_estimate(0.6, 0.59, 0.61), _estimate(0.5, 0.49, 0.8), name="gap")
    assert gap.interval is not None
    assert gap.value - gap.interval.low > 20 * (gap.interval.high - gap.value)


def test_the_interval_covers_at_its_level() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for one, other in rng.normal([0.6, 0.5], [0.02, 0.05], size=(2000, 2)):
        first = _estimate(one, one - 1.96 * 0.02, one + 1.96 * 0.02)
        second = _estimate(other, other - 1.96 * 0.05, other + 1.96 * 0.05)
        hits += not excludes(difference(first, second, name="gap"), 0.1)
    assert hits / 2000 == pytest.approx(0.95, abs=0.015)


def test_a_difference_without_intervals_excludes_nothing() -> None:
    bare = Estimate(name="a", value=0.6, unit="1")
    gap = difference(bare, _estimate(0.5, 0.49, 0.51), name="gap")
    assert gap.interval is None
    assert not excludes(gap)
    assert signed(gap) == "+0.1 (no interval)"


@pytest.mark.parametrize(
    ("low", "high", "claim", "start"),
    [
        (0.01, 0.09, "decoder", "decoder scales with the larger exponent: "),
        (-0.09, -0.01, "encoder", "encoder scales with the larger exponent: "),
        (-0.02, 0.12, "", "not established: "),
    ],
)
def test_the_sentence_follows_the_interval(low: float, high: float, claim: str, start: str) -> None:
    verdict = exponent_verdict(
        _estimate((low + high) / 2, low, high),
        group="decoder", reference="encoder", quantity="a", approach="Chinchilla law",
    )  # fmt: skip
    assert verdict.sentence.startswith(start)
    assert verdict.claim == claim
    assert verdict.is_established == bool(claim)
    assert f"[{low:.2f}, {high:.2f}]" in verdict.sentence


def test_digits_follow_the_width_of_the_interval() -> None:
    assert signed(_estimate(0.05123, 0.0473, 0.0552)) == "+0.051 [0.047, 0.055]"
    assert signed(_estimate(1.3, -2.0, 30.0)) == "+1 [-2, 30]"


def test_an_end_of_an_interval_never_looks_like_zero_unless_it_is() -> None:
    assert signed(_estimate(0.34, 0.0011, 0.68)) == "+0.340 [0.001, 0.680]"
    assert signed(_estimate(0.34, 0.0, 0.68)) == "+0.34 [0.00, 0.68]"
