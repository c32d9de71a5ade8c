"""Multiplier: the compute that one group needs for another's loss, and the sentence about it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from analysis.difference import Verdict
from analysis.errors import AnalysisError
from analysis.style import flops, number
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
        bounded: groups whose losses are upper bounds.
        doubts: group -> the first doubt about the law that gives its frontier.
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
    bounded: tuple[str, ...] = ()
    doubts: Mapping[str, str] = field(default_factory=dict)

    @property
    def hedge(self) -> str:
        """What is said with every claim about it."""
        return "by laws that are in doubt" if self.doubts else ""

    def at(self, budget: float) -> Estimate:
        """m at a budget in FLOPs in the common range, interpolated on logarithms."""
        low, high = self.common_range
        if not low * (1 - 1e-9) <= budget <= high * (1 + 1e-9):
            raise AnalysisError(
                f"flops={budget:.3g} lies outside {low:.3g} to {high:.3g}, where both groups have "
                "runs; ask inside"
            )
        with np.errstate(divide="ignore"):
            value, below, above = (
                float(np.exp(np.interp(np.log(budget), np.log(self.flops), np.log(axis))))
                for axis in (self.value, self.low, self.high)
            )
        interval = Interval(
            low=below, high=above, level=self.level, method=METHOD, n_draws=self.n_draws
        )
        return Estimate(
            name="m", value=value, unit="1", interval=interval, intervals=(interval,),
            meaning=f"compute of {self.reference} over compute of {self.group} at equal loss",
        )  # fmt: skip


def needs_text(m: Estimate, group: str, reference: str) -> str:
    """What the reference needs: the factor with both ends, or with the one that there is."""
    box = m.interval
    times = f"times the compute of {group} for the same loss"
    if box is None or (box.low <= 0 and math.isinf(box.high)):
        why = "no interval" if box is None else "the interval has no end on either side"
        if not 0 < m.value < math.inf:
            return f"what {reference} needs for the loss of {group} is not known ({why})"
        return f"{reference} needs {number(m.value)} {times} ({why})"
    if math.isinf(box.low):
        never = f"no compute is enough for {reference} to reach the loss of {group}"
        return f"{never} (at any end of the interval)"
    if box.low > 0 and math.isfinite(box.high):
        factor = f"{number(m.value)} [{number(box.low)}, {number(box.high)}]"
        return f"{reference} needs {factor} {times}"
    if box.low > 0:
        best = f"{number(m.value)} by the estimate" if math.isfinite(m.value) else (
            "by the estimate no compute is enough"
        )  # fmt: skip
        return f"{reference} needs at least {number(box.low)} {times} ({best}, no upper end)"
    best = f"{number(m.value)} by the estimate" if m.value > 0 else "by the estimate hardly any"
    return f"{reference} needs at most {number(box.high)} {times} ({best}, no lower end)"


def factor_text(found: Multiplier) -> str:
    """The factor at the largest common budget."""
    budget = found.common_range[1]
    needs = needs_text(found.at(budget), found.group, found.reference)
    return f"at {flops(budget)} FLOPs {needs}"


def doubt_lines(found: Multiplier) -> list[str]:
    """Which of the two laws is in doubt, and why."""
    return [
        f"the law of {group} is in doubt ({doubt.partition(':')[0]})"
        for group, doubt in found.doubts.items()
    ]


def multiplier_verdict(found: Multiplier, *, approach: str) -> Verdict:
    """Who needs more compute for the same loss at the largest common budget."""
    m = found.at(found.common_range[1])
    interval = m.interval
    assert interval is not None
    topic = f"compute of {found.group} against {found.reference} at equal loss"
    basis = f"({found.level:.0%} interval, {approach}, both on their frontiers)"
    text = "; ".join([f"{factor_text(found)} {basis}", *doubt_lines(found)])
    if interval.low <= 1 <= interval.high:
        return Verdict(
            topic=topic, sentence=f"not established: {text}", claim="", estimate=m,
            approach=approach,
        )  # fmt: skip
    ahead = found.group if m.value > 1 else found.reference
    behind = found.reference if m.value > 1 else found.group
    if behind in found.bounded and ahead not in found.bounded:
        text += f"; the losses of {behind} are upper bounds, so in truth it may be less behind"
    by = f", {found.hedge}" if found.hedge else ""
    return Verdict(
        topic=topic, sentence=f"{ahead} needs less compute{by}: {text}", claim=ahead, estimate=m,
        approach=approach, hedge=found.hedge,
    )  # fmt: skip
