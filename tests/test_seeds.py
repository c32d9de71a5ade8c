"""Means over seeds: the interval is Student's, and pairs cancel what both share."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from analysis.seeds import paired_difference, seed_mean


def test_the_interval_is_that_of_a_t_test() -> None:
    values = [1.0, 1.4, 0.9, 1.3]
    found = seed_mean(values, name="x", unit="nats")
    expected = scipy.stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert found.interval is not None
    assert (found.interval.low, found.interval.high) == pytest.approx((expected.low, expected.high))
    assert found.value == pytest.approx(np.mean(values))


def test_one_seed_has_no_interval() -> None:
    assert seed_mean([1.0], name="x", unit="").interval is None


def test_what_a_seed_does_to_both_cancels() -> None:
    one = {0: 5.1, 1: 9.1, 2: 1.1, 7: 0.0}
    other = {0: 5.0, 1: 9.0, 2: 1.0, 8: 0.0}
    found = paired_difference(one, other, name="x", unit="")
    assert found is not None
    assert found.interval is not None
    assert found.value == pytest.approx(0.1)
    assert found.interval.width < 1e-9
    assert paired_difference({0: 1.0}, {1: 1.0}, name="x", unit="") is None
