"""Estimates with intervals from draws and profiles; the widest interval is the printed one."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from analysis.bootstrap import Draws
from analysis.inputs import Runs
from analysis.laws.law import Floats, Law, Quantity, safe_exp
from analysis.profile import Profile, on_line, quantities, reported
from analysis.style import plain
from analysis.values import Estimate, Flag, Interval

LEVEL = 0.95
# Two ways of making an interval that differ by more than this factor are worth a warning.
_DISAGREE = 1.5
_END = 690.0
# Relative distance at which a draw counts as stopped by a bound of the search.
_ON_BOUND = 1e-6


def make_estimates(
    law: Law,
    theta: Floats,
    runs: Runs,
    draws: Draws | None,
    profiles: Mapping[str, Profile],
) -> tuple[dict[str, Estimate], dict[str, Estimate]]:
    """Parameters and derived numbers of the fit at `theta` [P], by name."""
    named = reported(law, theta[None], runs.scales)
    units = {role: axis.unit for role, axis in runs.axes.items()}
    drawn = reported(law, draws.theta, runs.scales) if draws else {}
    lines = on_line(law, draws.theta, runs.scales) if draws else None
    made: dict[str, Estimate] = {}
    for i, quantity in enumerate(quantities(law)):
        value = float(named[quantity.name][0])
        intervals = []
        if draws is not None and lines is not None:
            intervals.append(_percentiles(law, quantity, value, lines[:, i], draws))
        if quantity.name in profiles:
            intervals.append(_of_profile(quantity, profiles[quantity.name]))
        made[quantity.name] = Estimate(
            name=quantity.name,
            value=value,
            unit=quantity.unit.format(**units),
            standard_error=_spread(drawn.get(quantity.name)),
            interval=max(intervals, key=lambda x: _width(quantity, x), default=None),
            intervals=tuple(intervals),
            meaning=quantity.meaning,
        )
    first = {q.name: made[q.name] for q in law.estimates}
    return first, {q.name: made[q.name] for q in law.derived}


def percentile_ends(
    value: Floats, draws: Floats, *, level: float, stretch: float
) -> tuple[Floats, Floats]:
    """Percentiles of draws [M, ...], stretched about the estimate [...]."""
    tail = (1.0 - level) / 2
    low, high = np.quantile(draws, [tail, 1.0 - tail], axis=0)
    low = np.minimum(value - stretch * (value - low), low)
    return low, np.maximum(value + stretch * (high - value), high)


def _percentiles(
    law: Law, quantity: Quantity, value: float, line: Floats, draws: Draws
) -> Interval:
    centre = math.log(min(max(value, 1e-300), 1e300)) if quantity.is_positive_scale else value
    centre = centre if math.isfinite(centre) else float(np.median(line))
    low, high = percentile_ends(np.array(centre), line, level=LEVEL, stretch=draws.stretch)
    if quantity.is_positive_scale:
        # Draws at the end of the range of floats are draws without that term.
        low = np.where(low < -_END, 0.0, safe_exp(low))
        high = np.where(high > _END, np.inf, np.where(high < -_END, 0.0, safe_exp(high)))
    else:
        low, high = np.array(_off_bounds(law, quantity, float(low), float(high)))
    return Interval(
        low=float(low), high=float(high), level=LEVEL, method=draws.method, n_draws=len(line)
    )


def _off_bounds(law: Law, quantity: Quantity, low: float, high: float) -> tuple[float, float]:
    """Ends as far as the number can go, where draws stopped only at the bounds of the search."""
    searched = next((p for p in law.parameters if p.name == quantity.name), None)
    if searched is not None and math.isfinite(searched.high):
        low = quantity.floor if low <= searched.low * (1 + _ON_BOUND) else low
        high = quantity.ceiling if high >= searched.high * (1 - _ON_BOUND) else high
    return max(low, quantity.floor), min(high, quantity.ceiling)


def _of_profile(quantity: Quantity, profile: Profile) -> Interval:
    """An open side reaches as far as the number can go, not as far as the search went."""
    low = quantity.floor if profile.is_open_low else max(profile.low, quantity.floor)
    high = quantity.ceiling if profile.is_open_high else min(profile.high, quantity.ceiling)
    return Interval(low=low, high=high, level=LEVEL, method=profile.method)


def _spread(values: Floats | None) -> float | None:
    if values is None:
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        spread = float(np.std(values, ddof=1))
    return spread if math.isfinite(spread) else None


def _width(quantity: Quantity, interval: Interval) -> float:
    if not quantity.is_positive_scale:
        return interval.width
    if interval.low <= 0 or not math.isfinite(interval.high):
        return math.inf
    return math.log(interval.high / interval.low)


def disagreements(law: Law, estimates: Mapping[str, Estimate]) -> list[Flag]:
    """A flag where the intervals of a number differ by more than 1.5 times in width."""
    shown = []
    for quantity in quantities(law):
        intervals = estimates[quantity.name].intervals
        widths = [_width(quantity, interval) for interval in intervals]
        if len(widths) > 1 and max(widths) > _DISAGREE * min(widths):
            ends = ", ".join(f"{i.method} {plain(i.low)} to {plain(i.high)}" for i in intervals)
            shown.append(f"{quantity.name} ({ends})")
    if not shown:
        return []
    return [Flag(
        code="intervals_disagree",
        message=f"intervals differ by more than {_DISAGREE} times in width for {'; '.join(shown)}; "
        "the widest is printed",
    )]  # fmt: skip
