"""Compute multiplier: how much compute one group needs for the loss that another reaches.

Both groups are taken on their compute-optimal frontiers, L*(C) = min over N of L(N, D(N, C)), so
that neither is judged by the other's best split. Needs losses on one yardstick.

Array axes: M draws, K budgets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError
from analysis.flops_rule import flops_rule
from analysis.laws import FITTED
from analysis.laws.law import MAX_LOG, safe_log
from analysis.multiplier_result import METHOD, Crossing, Multiplier
from analysis.optimum import best_split
from analysis.profile import reported
from analysis.result import FitResult
from analysis.table import Table
from analysis.values import Estimate, Interval

__all__ = ["Crossing", "Multiplier", "compute_multiplier"]

Floats = NDArray[np.float64]

# Budgets inside the common range, and decades beyond it in which the equal loss is looked for.
_INSIDE = 25
_DECADES = 3
_PER_DECADE = 6
_MAX_DRAWS = 300


@dataclass(frozen=True, kw_only=True, slots=True)
class _Frontier:
    """Losses of one group on the frontier; row 0 is the estimate, the others are draws."""

    log_c: Floats
    loss_MK: Floats


def compute_multiplier(
    group: tuple[str, FitResult, Table],
    reference: tuple[str, FitResult, Table],
    *,
    level: float = 0.95,
) -> Multiplier:
    """m(C) of a group against a reference, from their separate fits.

    Args:
        group, reference: name, fit with draws, and the runs behind it.
    Raises:
        AnalysisError: different yardsticks, no common range of compute, or fits without draws.
    """
    name, fit, table = group
    other_name, other_fit, other_table = reference
    low, high = _common_range(group, reference)
    inner = np.linspace(np.log(low), np.log(high), _INSIDE)
    reach = _DECADES * np.log(10)
    n_outer = int((np.log10(high / low) + 2 * _DECADES) * _PER_DECADE)
    outer = np.linspace(np.log(low) - reach, np.log(high) + reach, n_outer)
    own = _frontier(fit, flops_rule(table), inner)
    theirs = _frontier(other_fit, flops_rule(other_table), np.union1d(inner, outer))
    n_draws = min(len(own.loss_MK), len(theirs.loss_MK))
    log_m = np.stack([
        _equal_loss(own.loss_MK[row], theirs.log_c, theirs.loss_MK[row]) - inner
        for row in range(n_draws)
    ])  # fmt: skip
    tail = (1 - level) / 2
    stretch = max(_stretch(fit), _stretch(other_fit))
    below, above = _quantiles(log_m, tail, stretch)
    at_inner = np.searchsorted(theirs.log_c, inner)
    gap_MK = own.loss_MK[:n_draws] - theirs.loss_MK[:n_draws][:, at_inner]
    with np.errstate(over="ignore"):
        value, below, above = (np.exp(axis) for axis in (log_m[0], below, above))
    return Multiplier(
        group=name, reference=other_name, flops=np.exp(inner), value=value, low=below, high=above,
        level=level, n_draws=n_draws - 1, common_range=(low, high),
        slope=_slope(log_m, inner, level), crossing=_crossing(gap_MK, inner, level),
        loss=own.loss_MK[0], reference_loss=theirs.loss_MK[0][at_inner],
    )  # fmt: skip


def _common_range(
    group: tuple[str, FitResult, Table], reference: tuple[str, FitResult, Table]
) -> tuple[float, float]:
    kinds = sorted({*group[2].loss_kinds, *reference[2].loss_kinds})
    if len(kinds) > 1:
        raise AnalysisError(
            f"losses on {len(kinds)} yardsticks ({', '.join(kinds)}) have no equal loss; use "
            "bits_per_byte"
        )
    for name, fit, _ in (group, reference):
        if fit.draws is None or fit.status == "failed":
            raise AnalysisError(f"the fit of {name} failed or has no draws; refit with intervals")
    spent = [table.values("c") for _, _, table in (group, reference)]
    low, high = max(c.min() for c in spent), min(c.max() for c in spent)
    if low >= high:
        raise AnalysisError(
            f"{group[0]} and {reference[0]} have no FLOPs in common; run both at the same budgets"
        )
    return float(low), float(high)


def _frontier(
    fit: FitResult, rule: Callable[[Floats, Floats], Floats] | None, log_c: Floats
) -> _Frontier:
    law = FITTED[fit.law]
    assert fit.draws is not None
    theta = np.concatenate([fit.theta[None], fit.draws[:_MAX_DRAWS]])
    if rule is not None:
        columns = [
            best_split(law, theta, fit.scales, float(c), train_flops=rule, unique_tokens=None)[2]
            for c in np.exp(log_c)
        ]
        return _Frontier(log_c=log_c, loss_MK=np.stack(columns, axis=1))
    named = reported(law, theta, fit.scales)
    log_half_c = log_c - np.log(6)  # N D
    rows = []
    for row, (log_g, a) in enumerate(zip(safe_log(named["G"]), named["a"], strict=True)):
        # A draw without an optimum has its best split at an end of any range.
        log_n = np.clip(log_g + a * log_half_c, -MAX_LOG, MAX_LOG)
        axes = {
            "n": log_n - np.log(fit.scales["n"]),
            "d": log_half_c - log_n - np.log(fit.scales["d"]),
        }
        rows.append(law.model(theta[row : row + 1], axes)[0][0] * fit.scales["loss"])
    return _Frontier(log_c=log_c, loss_MK=np.stack(rows))


def _equal_loss(loss: Floats, log_c: Floats, other: Floats) -> Floats:
    """log C at which the falling frontier `other` has each `loss`; +-inf beyond its ends."""
    falling = np.minimum.accumulate(other)
    at = np.interp(-loss, -falling, log_c)
    return np.where(loss < falling[-1], np.inf, np.where(loss > falling[0], -np.inf, at))


def _stretch(fit: FitResult) -> float:
    """How much wider the fit's printed intervals are than those of its draws, on average.

    The fit prints the widest interval it has; where that is not the draws' own, a number made of
    the draws alone would claim to be surer than the parameters that it is made of.
    """
    ratios = []
    for estimate in {**fit.estimates, **fit.derived}.values():
        own = next((x for x in estimate.intervals if x.method == fit.draws_method), None)
        if estimate.unit == "1" and own and estimate.interval and own.width > 0:
            ratios.append(estimate.interval.width / own.width)
    finite = [ratio for ratio in ratios if np.isfinite(ratio)]
    return fit.draws_stretch * (float(np.mean(finite)) if finite else 1.0)


def _quantiles(log_m: Floats, tail: float, stretch: float) -> tuple[Floats, Floats]:
    """Ends [K] of the draws in rows 1.., stretched about row 0 as the fits' own intervals are.

    Order statistics without interpolation, for draws may be infinite.
    """
    value = log_m[0]
    low, high = np.quantile(log_m[1:], [tail, 1 - tail], axis=0, method="inverted_cdf")
    # inf - inf is nan, and an infinite end is as far as it goes.
    with np.errstate(invalid="ignore"):
        low = np.fmin(value - stretch * (value - low), low)
        high = np.fmax(value + stretch * (high - value), high)
    return low, high


def _slope(log_m: Floats, log_c: Floats, level: float) -> Estimate:
    """d log m / d log C between the ends of the range; infinite ends have no slope."""
    # inf - inf is the nan that says so.
    with np.errstate(invalid="ignore"):
        slopes = (log_m[:, -1] - log_m[:, 0]) / (log_c[-1] - log_c[0])
    interval = None
    if np.isfinite(slopes[1:]).mean() >= level:
        tail = (1 - level) / 2
        low, high = np.nanquantile(slopes[1:], [tail, 1 - tail])
        interval = Interval(
            low=float(low), high=float(high), level=level, method=METHOD, n_draws=len(slopes) - 1
        )
    return Estimate(
        name="slope", value=float(slopes[0]), unit="1", interval=interval,
        intervals=(interval,) if interval else (), meaning="d log m / d log C",
    )  # fmt: skip


def _crossing(gap_MK: Floats, log_c: Floats, level: float) -> Crossing:
    """The first change of sign of the gap between the frontiers, per draw."""
    points = np.full(len(gap_MK), np.nan)
    change = np.sign(gap_MK[:, 1:]) != np.sign(gap_MK[:, :-1])
    for row in np.flatnonzero(change.any(axis=1)):
        k = int(change[row].argmax())
        left, right = gap_MK[row, k], gap_MK[row, k + 1]
        share = left / (left - right) if left != right else 0.0
        points[row] = log_c[k] + share * (log_c[k + 1] - log_c[k])
    drawn = points[1:][np.isfinite(points[1:])]
    flops = None
    if len(drawn) >= 20:
        tail = (1 - level) / 2
        low, middle, high = np.exp(np.quantile(drawn, [tail, 0.5, 1 - tail]))
        interval = Interval(
            low=float(low), high=float(high), level=level,
            method=f"{METHOD}, of those that cross", n_draws=len(drawn),
        )  # fmt: skip
        flops = Estimate(
            name="crossing", value=float(middle), unit="FLOPs", interval=interval,
            intervals=(interval,), meaning="compute at which the frontiers cross",
        )  # fmt: skip
    at_estimate = float(np.exp(points[0])) if np.isfinite(points[0]) else None
    return Crossing(
        probability_none=float(1 - len(drawn) / max(len(points) - 1, 1)),
        flops=flops, at_estimate=at_estimate,
    )  # fmt: skip
