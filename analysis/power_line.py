"""A power law through points: weighted least squares on logs, for many draws at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from analysis.laws.law import safe_exp
from analysis.values import Estimate, Interval

Floats = NDArray[np.float64]


def fit_line(x: Floats, y_BK: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """Slope and intercept of y = intercept + slope x, by weighted least squares.

    Args:
        x: [K], or [B, K] where the draws differ in points.
        y_BK: [B, K]; a NaN takes the point out of its draw.
        weight: inverse variances [K] or [B, K].
    Returns:
        slope [B], intercept [B]; NaN where a draw has fewer than two distinct x.
    """
    x_BK = np.broadcast_to(x, y_BK.shape)
    w_BK = np.where(np.isfinite(y_BK), np.broadcast_to(weight, y_BK.shape), 0.0)
    y_BK = np.where(np.isfinite(y_BK), y_BK, 0.0)
    total = w_BK.sum(axis=1)
    safe = np.where(total > 0, total, np.nan)
    x_mean = (w_BK * x_BK).sum(axis=1) / safe
    y_mean = (w_BK * y_BK).sum(axis=1) / safe
    x_off = x_BK - x_mean[:, None]
    spread = (w_BK * x_off**2).sum(axis=1)
    # Rounding leaves a spread of this order where all points share one x.
    enough = spread > 1e-9 * safe
    slope = (w_BK * x_off * y_BK).sum(axis=1) / np.where(enough, spread, np.nan)
    return slope, y_mean - slope * x_mean


def scale_of(name: str, log_scale: float) -> dict[str, float]:
    """The factor of a line and its logarithm, which holds it where the factor is out of range."""
    return {name: float(safe_exp(np.asarray(log_scale))), f"log_{name}": log_scale}


def on_line(scale: Mapping[str, float], name: str, exponent: float, x: float | Floats) -> Floats:
    """The line of `scale_of` and an exponent at x; inf or 0 where it leaves the range of floats."""
    return safe_exp(scale[f"log_{name}"] + exponent * np.log(np.asarray(x, dtype=float)))


def quantile_interval(
    draws: Floats, *, level: float, method: str, least: int = 20
) -> Interval | None:
    """The central interval of the finite draws; None where there are fewer than `least`."""
    finite = draws[np.isfinite(draws)]
    if len(finite) < least:
        return None
    tail = (1 - level) / 2
    low, high = np.quantile(finite, [tail, 1 - tail])
    return Interval(
        low=float(low), high=float(high), level=level, method=method, n_draws=len(finite)
    )


def estimate_from_draws(
    name: str,
    value: float,
    draws: dict[str, Floats],
    *,
    unit: str = "1",
    meaning: str = "",
    level: float = 0.95,
) -> Estimate:
    """An estimate with one interval per way of drawing (method -> draws); the widest is printed."""
    made = [quantile_interval(d, level=level, method=m) for m, d in draws.items()]
    # Draws that lie on one side of the estimate must not print an interval without it.
    intervals = tuple(
        dataclasses.replace(i, low=min(i.low, float(value)), high=max(i.high, float(value)))
        for i in made
        if i is not None
    )
    widest = max(intervals, key=lambda i: i.width, default=None)
    spread = None
    if widest is not None:
        finite = draws[widest.method][np.isfinite(draws[widest.method])]
        spread = float(finite.std(ddof=1))
    return Estimate(
        name=name, value=float(value), unit=unit, standard_error=spread, interval=widest,
        intervals=intervals, meaning=meaning,
    )  # fmt: skip
