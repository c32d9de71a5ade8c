"""Intervals of what is measured on one model: of a share of trials, and of a mean."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import scipy.stats

LEVEL = 0.95


def wilson(right: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a share. Halves, of ties, count as halves.

    Source: Wilson 1927, Journal of the American Statistical Association 22, 209-212.
    """
    z = float(scipy.stats.norm.ppf(0.5 + LEVEL / 2))
    share = right / count
    centre = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count)
    half *= math.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return centre - half, centre + half


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """The 95 % t interval of the mean of two or more values."""
    half = scipy.stats.t.ppf(0.5 + LEVEL / 2, len(values) - 1) * scipy.stats.sem(values)
    mean = float(np.mean(values))
    return mean - float(half), mean + float(half)
