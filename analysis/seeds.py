"""Means and differences over seeds, with the intervals that few seeds allow.

Runs of one seed share their data order and, at equal shapes, their initial weights, so two arms are
compared seed by seed: what the seed does to both cancels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import scipy.stats

from analysis.difference import Verdict, excludes, signed
from analysis.values import Estimate, Interval

PAIRED = "t over paired seeds"
UNPAIRED = "t over seeds"


def seed_mean(
    values: Sequence[float], *, name: str, unit: str, level: float = 0.95, method: str = UNPAIRED
) -> Estimate:
    """The mean over seeds with a t interval; without an interval where there is one seed.

    Args:
        values: one number per seed, at least one.
    """
    mean = float(np.mean(values))
    if len(values) < 2:
        return Estimate(name=name, value=mean, unit=unit)
    error = float(np.std(values, ddof=1)) / len(values) ** 0.5
    half = float(scipy.stats.t.ppf(0.5 + level / 2, len(values) - 1)) * error
    interval = Interval(
        low=mean - half, high=mean + half, level=level, method=f"{method}, {len(values)} of them"
    )
    return Estimate(
        name=name, value=mean, unit=unit, standard_error=error, interval=interval,
        intervals=(interval,),
    )  # fmt: skip


def paired_difference(
    one: Mapping[int, float], other: Mapping[int, float], *, name: str, unit: str
) -> Estimate | None:
    """one - other over the seeds that both have; None where they share none."""
    seeds = sorted(one.keys() & other.keys())
    if not seeds:
        return None
    values = [one[seed] - other[seed] for seed in seeds]
    return seed_mean(values, name=name, unit=unit, method=PAIRED)


def seed_verdict(
    estimate: Estimate, *, topic: str, above: str, below: str, approach: str, n_seeds: int
) -> Verdict:
    """What may be said of a number that would be 0 if there were no effect.

    Args:
        above, below: the claim where the whole interval lies above or below 0.
        n_seeds: behind the estimate.
    """
    seeds = f"{n_seeds} seed{'s' if n_seeds > 1 else ''}"
    level = f"{estimate.interval.level:.0%} interval, " if estimate.interval else ""
    number = f"{estimate.name} = {signed(estimate)} {estimate.unit}".rstrip()
    basis = f"({level}{seeds}; {approach})"
    claim = ""
    if excludes(estimate):
        claim = above if estimate.value > 0 else below
    sentence = f"{claim or 'not established'}: {number} {basis}"
    return Verdict(
        topic=topic, sentence=sentence, claim=claim, estimate=estimate, approach=approach
    )
