"""Which runs belong together, and how much each counts: clusters and weights of a fit.

A size is a distinct N. Runs of one size share what was not tuned for it, so a size, not a run,
is what a study has several of.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from analysis.errors import AnalysisError
from analysis.laws.law import Floats, Law
from analysis.positive import positive

Ints = NDArray[np.intp]

# Two N closer than this are one size: published tables carry digitisation noise.
SAME_SIZE = 1e-3


def size_ids(params: Floats) -> Ints:
    """Numbers the distinct sizes, smallest first; N within 0.1 % of a neighbour is one size."""
    order = np.argsort(params, kind="stable")
    starts = np.diff(np.log(params[order]), prepend=-np.inf) > SAME_SIZE
    ids = np.empty(len(params), dtype=np.intp)
    ids[order] = np.cumsum(starts) - 1
    return ids


def cluster_ids(
    frame: pd.DataFrame, raw: Mapping[str, Floats], cluster: str
) -> tuple[tuple[Ints, ...], str]:
    if cluster == "run":
        return (), "run"
    if cluster in ("size", "seed"):
        if "n" not in raw:
            if cluster == "size":
                return (), "run"
            raise AnalysisError("cluster='seed' needs a column of N; name one with n=...")
        sizes = size_ids(raw["n"])
        if cluster == "size":
            return (sizes,), "size"
        return (sizes, _nested(sizes, _labels(frame, "seed"))), "size and seed"
    return (np.unique(_labels(frame, cluster), return_inverse=True)[1],), cluster


def _nested(outer: Ints, inner: NDArray[Any]) -> Ints:
    codes = np.unique(inner, return_inverse=True)[1]
    return np.unique(outer * (codes.max() + 1) + codes, return_inverse=True)[1]


def _labels(frame: pd.DataFrame, column: str) -> NDArray[Any]:
    if column not in frame:
        raise AnalysisError(
            f"no column {column!r} to cluster by; give cluster='size', 'run' or one of: "
            f"{', '.join(map(str, frame.columns))}"
        )
    return frame[column].astype(str).to_numpy(dtype=str)


def run_weights(
    frame: pd.DataFrame,
    raw: Mapping[str, Floats],
    law: Law,
    weights: str | ArrayLike | None,
    names: NDArray[Any],
) -> Floats:
    if weights is None:
        return np.ones(len(frame))
    if isinstance(weights, str) and weights == "seeds":
        return _replicate_weights(raw, law)
    if isinstance(weights, str):
        if weights not in frame:
            raise AnalysisError(f"no column {weights!r} for weights; give 'seeds' or a column")
        return positive(frame, weights, names)
    given = np.asarray(weights, dtype=float)
    if given.shape != (len(frame),):
        raise AnalysisError(
            f"weights of shape {given.shape} for {len(frame)} usable runs; give one per run"
        )
    return positive(pd.DataFrame({"weights": given}), "weights", names)


def _replicate_weights(raw: Mapping[str, Floats], law: Law) -> Floats:
    """1 / variance of log loss between replicates, pooled over the runs of a size.

    Shrunk towards the variance of all sizes, as if that were known from four more runs each.
    """
    points = np.stack([raw[role] for role in law.axes])
    point = np.unique(points, axis=1, return_inverse=True)[1].ravel()
    size = size_ids(raw["n"]) if "n" in raw else np.zeros(len(point), dtype=np.intp)
    log_loss = np.log(raw["loss"])
    count = np.bincount(point)
    spread = (log_loss - (np.bincount(point, log_loss) / count)[point]) ** 2
    freedom = np.bincount(size, 1.0 - 1.0 / count[point])
    total = float(freedom.sum())
    if total < 1.0 or not spread.any():
        raise AnalysisError(
            "weights='seeds' needs runs that differ in nothing but the seed, and there are none; "
            "give weights=None or a column"
        )
    pooled = spread.sum() / total
    variance = (np.bincount(size, spread) + 4.0 * pooled) / (freedom + 4.0)
    return np.asarray(1.0 / variance[size])
