"""Means and differences over seeds, with the intervals that few seeds allow.

Runs of one seed share their data order and, at equal shapes, their initial weights, so two arms are
compared seed by seed: what the seed does to both cancels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import scipy.stats

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
    interval = Interval(low=mean - half, high=mean + half, level=level, method=method)
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
