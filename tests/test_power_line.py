"""Weighted lines through many draws at once."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.power_line import estimate_from_draws, fit_line, quantile_interval


def test_lines_equal_those_of_numpy() -> None:
    rng = np.random.default_rng(0)
    x, y, weight = rng.normal(size=7), rng.normal(size=(4, 7)), rng.uniform(0.1, 2, 7)
    slope, intercept = fit_line(x, y, weight)
    for row in range(4):
        expected = np.polyfit(x, y[row], 1, w=np.sqrt(weight))
        np.testing.assert_allclose([slope[row], intercept[row]], expected)


def test_a_nan_takes_its_point_out_and_one_x_gives_no_line() -> None:
    x = np.array([1.0, 2.0, 3.0, 4.0])
    y = np.array([[2.0, 4.0, np.nan, 8.0], [np.nan, np.nan, np.nan, 1.0]])
    slope, _ = fit_line(x, y, np.ones(4))
    assert slope[0] == pytest.approx(2)
    assert np.isnan(slope[1])
    same, _ = fit_line(np.array([[5.0, 5.0, 5.0]]), np.array([[1.0, 2.0, 4.0]]), np.ones(3))
    assert np.isnan(same[0])


def test_the_widest_way_of_drawing_is_printed_and_few_draws_give_none() -> None:
    rng = np.random.default_rng(0)
    draws = {"narrow": rng.normal(0, 1, 400), "wide": rng.normal(0, 3, 400)}
    estimate = estimate_from_draws("a", 0.0, draws)
    assert estimate.interval is not None
    assert estimate.interval.method == "wide"
    assert estimate.interval.high == pytest.approx(1.96 * 3, rel=0.15)
    assert estimate.standard_error == pytest.approx(3, rel=0.1)
    assert quantile_interval(np.ones(19), level=0.95, method="few") is None


def test_an_interval_of_draws_beside_the_estimate_reaches_it() -> None:
    draws = {"one side": np.linspace(0.1, 0.3, 101)}
    above, below = (estimate_from_draws("a", value, draws).interval for value in (0.39, 0.02))
    assert above is not None
    assert below is not None
    assert (above.low, above.high) == pytest.approx((0.105, 0.39))
    assert (below.low, below.high) == pytest.approx((0.02, 0.295))
