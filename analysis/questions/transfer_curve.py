"""Score over pre-training: a bounded, saturating curve, and what it costs to reach a score.

    score(C) = untrained + gain * C^k / (C^k + half^k)

It starts at the score of the untrained model, which is measured, rises to untrained + gain, which
is 1 at most, and is half-way at C = half (the function of Hill 1910, used for dose and response).
All that is non-linear lies on a grid, and the gain is solved for: there is no local minimum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.values import Estimate, Floats, Interval

N_DRAWS = 400
LEVEL = 0.95
_EXPONENTS = np.array([0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0])
_HALVES = 121


@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """A fitted curve; `low` and `high` are the ends of what was measured, as abscissae."""

    untrained: float
    gain: float
    half: float
    exponent: float
    low: float
    high: float

    def __call__(self, x: Floats | float) -> Floats:
        share = 1 / (1 + (self.half / np.asarray(x, dtype=float)) ** self.exponent)
        return np.asarray(self.untrained + self.gain * share)

    def reaches(self, target: float) -> float | None:
        """Where the curve has the score `target`; None outside of what was measured."""
        need = target - self.untrained
        if not 0 < need < self.gain:
            return None
        x = self.half * (need / (self.gain - need)) ** (1 / self.exponent)
        return float(x) if self.low <= x <= self.high else None


@dataclass(frozen=True, kw_only=True, slots=True)
class CurveFit:
    """A curve and its draws: the seeds of each point, the untrained one too, are resampled."""

    curve: Curve
    draws: tuple[Curve, ...]


def fit_curve(rows: pd.DataFrame, untrained: Floats, abscissa: str, *, seed: int = 0) -> CurveFit:
    """Fits the scores `test` of one arm.

    Args:
        rows: one per fine-tuning; those of one point have equal `abscissa`.
        untrained: scores of the untrained model over seeds; where there is none, 0 is the start.
    """
    groups = [(float(str(x)), part["test"].to_numpy(float)) for x, part in rows.groupby(abscissa)]
    x = np.array([place for place, _ in groups])
    base = untrained if len(untrained) else np.zeros(1)
    weights = np.array([len(scores) for _, scores in groups], dtype=float)
    grid = _Grid(x, weights)
    means = np.array([scores.mean() for _, scores in groups])
    rng = np.random.default_rng(seed)
    draws = []
    for _ in range(N_DRAWS):
        drawn = np.array([rng.choice(scores, len(scores)).mean() for _, scores in groups])
        draws.append(grid.best(drawn, float(rng.choice(base, len(base)).mean())))
    return CurveFit(curve=grid.best(means, float(base.mean())), draws=tuple(draws))


def difference_at(one: CurveFit, other: CurveFit, x: float, *, name: str) -> Estimate:
    """one - other at the abscissa x, with a percentile interval over draws."""
    drawn = [float(a(x) - b(x)) for a, b in zip(one.draws, other.draws, strict=True)]
    return _with_percentiles(float(one.curve(x) - other.curve(x)), drawn, name=name, unit="")


def ratio_to_reach(
    one: CurveFit, other: CurveFit, target: float, *, name: str
) -> tuple[Estimate | None, float]:
    """log10 of what `one` needs over what `other` needs, and the share of draws in which both do.

    None where a curve does not reach the target within what was measured. A draw that does not is
    put at the end of the range, which is the least that it would need.
    """
    here, there = one.curve.reaches(target), other.curve.reaches(target)
    drawn, both = [], 0
    for a, b in zip(one.draws, other.draws, strict=True):
        first, second = a.reaches(target), b.reaches(target)
        both += first is not None and second is not None
        drawn.append(float(np.log10(_or_end(a, first, target) / _or_end(b, second, target))))
    share = both / len(drawn)
    if here is None or there is None:
        return None, share
    return _with_percentiles(float(np.log10(here / there)), drawn, name=name, unit=""), share


def _or_end(curve: Curve, x: float | None, target: float) -> float:
    if x is not None:
        return x
    return curve.low if float(curve(curve.low)) >= target else curve.high


def _with_percentiles(value: float, drawn: list[float], *, name: str, unit: str) -> Estimate:
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    interval = Interval(
        low=float(low), high=float(high), level=LEVEL, method="bootstrap over seeds",
        n_draws=len(drawn),
    )  # fmt: skip
    return Estimate(name=name, value=value, unit=unit, interval=interval, intervals=(interval,))


class _Grid:
    """The shares of the gain at the points, for every half-way place and exponent."""

    def __init__(self, x: Floats, weights: Floats) -> None:
        self.low, self.high = float(x.min()), float(x.max())
        halves = np.geomspace(self.low / 30, self.high * 30, _HALVES)
        self.half, self.exponent = (a.ravel() for a in np.meshgrid(halves, _EXPONENTS))
        self.shares = 1 / (1 + (self.half[:, None] / x) ** self.exponent[:, None])
        self.weights = weights

    def best(self, scores: Floats, untrained: float) -> Curve:
        excess = scores - untrained
        gain = (self.shares * self.weights) @ excess / ((self.shares**2) @ self.weights)
        gain = np.clip(gain, 0.0, max(0.0, 1.0 - untrained))
        errors = ((excess - gain[:, None] * self.shares) ** 2) @ self.weights
        i = int(np.argmin(errors))
        return Curve(
            untrained=untrained, gain=float(gain[i]), half=float(self.half[i]),
            exponent=float(self.exponent[i]), low=self.low, high=self.high,
        )  # fmt: skip
