"""Intervals end where the data end them, not where the search did."""

from __future__ import annotations

import dataclasses
import math

import pytest

from analysis.difference import difference, excludes, signed
from analysis.estimates import _of_profile, _off_bounds
from analysis.laws import LAWS
from analysis.laws.law import Quantity
from analysis.profile import Profile, quantities
from analysis.style import interval, plain
from analysis.values import Estimate, Interval

CHINCHILLA = LAWS["chinchilla"]


def _quantity(name: str) -> Quantity:
    return next(q for q in quantities(CHINCHILLA) if q.name == name)


def _profile(**changes: object) -> Profile:
    closed = Profile(
        low=0.1, high=4.0, is_open_low=False, is_open_high=False, standard_error=0.1, freedom=3.0,
        design_effect=1.0, method="test",
    )  # fmt: skip
    return dataclasses.replace(closed, **changes)  # type: ignore[arg-type]


def test_an_open_side_has_no_end_or_the_one_that_the_number_has() -> None:
    alpha = _of_profile(_quantity("alpha"), _profile(is_open_high=True))
    assert (alpha.low, alpha.high) == (0.1, math.inf)
    a = _of_profile(_quantity("a"), _profile(high=0.9, is_open_low=True, is_open_high=True))
    assert (a.low, a.high) == (0.0, 1.0)
    scale = _of_profile(_quantity("A"), _profile(is_open_low=True, is_open_high=True))
    assert (scale.low, scale.high) == (0.0, math.inf)
    closed = _of_profile(_quantity("alpha"), _profile(high=3.9))
    assert (closed.low, closed.high) == (0.1, 3.9)


@pytest.mark.parametrize(
    ("name", "ends", "expected"),
    [
        ("alpha", (0.3, 4.0), (0.3, math.inf)),
        ("alpha", (0.3, 4.2), (0.3, math.inf)),
        ("alpha", (0.005, 0.7), (0.0, 0.7)),
        ("alpha", (0.3, 3.99), (0.3, 3.99)),
        ("a", (-0.1, 1.2), (0.0, 1.0)),
        ("E", (-0.2, 1.8), (0.0, 1.8)),
    ],
)
def test_draws_that_stop_at_a_bound_of_the_search_set_no_end(
    name: str, ends: tuple[float, float], expected: tuple[float, float]
) -> None:
    assert _off_bounds(CHINCHILLA, _quantity(name), *ends) == expected


def test_what_has_no_end_is_printed_as_unbounded_and_excludes_nothing_there() -> None:
    def estimate(low: float, high: float) -> Estimate:
        box = Interval(low=low, high=high, level=0.95, method="test")
        return Estimate(name="a", value=0.5, unit="1", interval=box)

    assert interval(0.5, 0.4, math.inf) == "0.500 [0.400, unbounded]"
    assert plain(math.inf) == "unbounded"
    gap = difference(estimate(0.4, math.inf), estimate(0.45, 0.55), name="a")
    assert gap.interval is not None
    assert gap.interval.high == math.inf
    assert signed(gap) == "+0.00 [-0.11, unbounded]"
    assert not excludes(gap, 1e9)
