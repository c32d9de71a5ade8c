"""Multiplier: the compute that one group needs for another's loss, and the sentence about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.difference import Verdict
from analysis.errors import AnalysisError
from analysis.values import Estimate, Interval

Floats = NDArray[np.float64]

METHOD = "bootstrap draws of both fits"


@dataclass(frozen=True, kw_only=True, slots=True)
class Crossing:
    """Where the frontiers cross inside the common range of compute.

    Attributes:
        probability_none: share of the draws without a crossing in the range.
        flops: median of the first crossing over the draws that have one, with its interval; None
            where under 20 draws have one.
        at_estimate: the crossing of the point estimates, None if there is none.
    """

    probability_none: float
    flops: Estimate | None
    at_estimate: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Multiplier:
    """m(C): the compute that `reference` needs for the loss that `group` reaches with C, over C.

    m > 1 where the group is ahead. A loss that the reference does not reach within three decades
    gives inf, one that it reaches with less than a thousandth gives 0.

    Attributes:
        flops, value, low, high: [K] over the common range of compute.
        common_range: FLOPs at which both groups have runs.
        slope: d log m / d log C over the range; 0 means a constant multiplier.
        loss, reference_loss: [K] of the two frontiers.
    """

    group: str
    reference: str
    flops: Floats
    value: Floats
    low: Floats
    high: Floats
    level: float
    n_draws: int
    common_range: tuple[float, float]
    slope: Estimate
    crossing: Crossing
    loss: Floats
    reference_loss: Floats

    def at(self, flops: float) -> Estimate:
        """m at a budget in the common range, interpolated on logarithms."""
        low, high = self.common_range
        if not low * (1 - 1e-9) <= flops <= high * (1 + 1e-9):
            raise AnalysisError(
                f"flops={flops:.3g} lies outside {low:.3g} to {high:.3g}, where both groups have "
                "runs; ask inside"
            )
        with np.errstate(divide="ignore"):
            value, below, above = (
                float(np.exp(np.interp(np.log(flops), np.log(self.flops), np.log(axis))))
                for axis in (self.value, self.low, self.high)
            )
        interval = Interval(
            low=below, high=above, level=self.level, method=METHOD, n_draws=self.n_draws
        )
        return Estimate(
            name="m", value=value, unit="1", interval=interval, intervals=(interval,),
            meaning=f"compute of {self.reference} over compute of {self.group} at equal loss",
        )  # fmt: skip


def multiplier_verdict(found: Multiplier, *, approach: str, bounded: Sequence[str] = ()) -> Verdict:
    """Who needs more compute for the same loss at the largest common budget.

    Args:
        bounded: groups whose losses are upper bounds; one that is behind may be less behind.
    """
    budget = found.common_range[1]
    m = found.at(budget)
    interval = m.interval
    assert interval is not None
    topic = f"compute of {found.group} against {found.reference} at equal loss"
    number = f"{m.value:.3g} [{interval.low:.3g}, {interval.high:.3g}]"
    basis = f"({found.level:.0%} interval, {approach}, both on their frontiers)"
    if interval.low <= 1 <= interval.high:
        sentence = (
            f"not established: at {budget:.2g} FLOPs {found.reference} needs {number} times the "
            f"compute of {found.group} for the same loss {basis}"
        )
        return Verdict(topic=topic, sentence=sentence, claim="", estimate=m, approach=approach)
    ahead = found.group if m.value > 1 else found.reference
    behind = found.reference if m.value > 1 else found.group
    if behind in bounded and ahead not in bounded:
        basis += f"; the losses of {behind} are upper bounds, so in truth it may be less behind"
    sentence = (
        f"{ahead} needs less compute: at {budget:.2g} FLOPs {found.reference} needs {number} times "
        f"the compute of {found.group} for the same loss {basis}"
    )
    return Verdict(topic=topic, sentence=sentence, claim=ahead, estimate=m, approach=approach)
