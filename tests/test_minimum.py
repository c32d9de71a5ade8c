"""Minima of loss over log N by parabola and by Akima interpolation."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.minimum import AT_LARGEST, AT_SMALLEST, DOWNWARD, METHODS, OUTSIDE, akima, parabola

X = np.linspace(0.0, 3.0, 9)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_the_minimum_of_a_parabola_is_found_in_every_row(method: str) -> None:
    at = np.array([0.9, 1.4, 2.2])
    curves = 3 + 0.2 * (X - at[:, None]) ** 2
    found, lowest, reasons = METHODS[method](X, curves)
    np.testing.assert_allclose(found, at, atol={"parabola": 1e-10, "akima": 0.01}[method])
    np.testing.assert_allclose(lowest, 3, atol=3e-4)
    assert not any(reasons)


def test_a_parabola_beyond_the_sizes_keeps_its_place_and_is_refused() -> None:
    curves = np.stack([(X - 5) ** 2, (X + 50) ** 2, -((X - 1) ** 2)]) + 9
    found, lowest, reasons = parabola(X, curves)
    assert reasons.tolist() == [OUTSIDE, OUTSIDE, DOWNWARD]
    assert found[0] == pytest.approx(5)
    assert found[1] == pytest.approx(-9)  # three spans out, no farther
    assert np.isnan(found[2])
    assert np.isnan(lowest).all()


def test_akima_refuses_a_minimum_at_an_end() -> None:
    found, lowest, reasons = akima(X, np.stack([2 + X, 5 - X]))
    assert reasons.tolist() == [AT_SMALLEST, AT_LARGEST]
    assert found.tolist() == [0.0, 3.0]
    assert np.isnan(lowest).all()
