"""Design: how well a number of a fitted law is known from given runs, and from more of them.

Local information by the Jacobian of log loss; runs of one size share an error where the fit found
one (Atkinson, Donev & Tobias 2007, Optimum Experimental Designs, chapters 9-10).

Array axes: n runs, P free parameters.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.inputs import size_ids
from analysis.laws.law import Floats, Law
from analysis.profile import quantities, reported
from analysis.result import FitResult

ALL = "all"
_STEP = 1e-5


class Design:
    """Information about the parameters, and what a number's variance is under it."""

    def __init__(self, fit: FitResult, law: Law, quantity: str) -> None:
        self.fit, self.law = fit, law
        at_bound = (fit.theta <= law.low) | (fit.theta >= law.high)
        self.free = np.flatnonzero(~at_bound)
        used = fit.used
        self.n = used["n"].to_numpy(dtype=float)
        self.used_slopes = self.slopes(used["n"], used["d"])
        run = fit.noise["run"]
        shared = next((sd for level, sd in fit.noise.items() if level != "run"), 0.0)
        self.run_variance, self.share = run**2, (shared / run) ** 2 if run > 0 else 0.0
        self.on_log = False
        self.gradient = None if quantity == ALL else self._gradient(quantity)
        self.clusters = size_ids(self.n)
        self.scale = 1.0
        self.before = self.error(self.used_slopes, self.clusters)
        if quantity == ALL:
            self.scale, self.before = self.before, 1.0

    def slopes(self, n: ArrayLike, d: ArrayLike) -> Floats:
        """Derivatives of log loss by the free parameters, [n, P]."""
        axes = {
            role: np.log(np.asarray(value, dtype=float) / self.fit.scales[role])
            for role, value in (("n", n), ("d", d))
        }
        value, slope = self.law.model(self.fit.theta[None], axes)
        return np.asarray((slope[0] / value).T[:, self.free])

    def size_of(self, n: Floats) -> NDArray[np.intp]:
        """The cluster of a new run: that of the runs of its size, or one of its own."""
        both = size_ids(np.concatenate([self.n, n]))
        old = dict(zip(both[: len(self.n)], self.clusters, strict=True))
        fresh = int(self.clusters.max()) + 1
        return np.array([old.get(i, fresh + i) for i in both[len(self.n) :]], dtype=np.intp)

    def error(self, slopes: Floats, clusters: NDArray[np.intp]) -> float:
        """Standard error of the number from runs with these slopes and sizes."""
        information = slopes.T @ slopes
        if self.share:
            for cluster in np.unique(clusters):
                block = slopes[clusters == cluster]
                total = block.sum(axis=0)
                shrink = self.share / (1 + len(block) * self.share)
                information -= shrink * np.outer(total, total)
        length = np.sqrt(np.maximum(np.diag(information), 1e-300))
        unit = information / np.outer(length, length)
        if self.gradient is None:
            _, log_det = np.linalg.slogdet(unit)
            log_det += 2 * np.log(length).sum()
            geometric = np.exp(-log_det / (2 * len(length)))
            return float(np.sqrt(self.run_variance) * geometric / self.scale)
        weighed = self.gradient / length
        variance = float(weighed @ np.linalg.pinv(unit, rcond=1e-12) @ weighed)
        return float(np.sqrt(max(self.run_variance * variance, 0.0)))

    def _gradient(self, name: str) -> Floats:
        """Derivatives of the number, or of its logarithm if it is a scale, by free parameters."""
        quantity = next(q for q in quantities(self.law) if q.name == name)
        self.on_log = quantity.is_positive_scale
        step = _STEP * np.maximum(np.abs(self.fit.theta[self.free]), 1e-3)
        moved = np.repeat(self.fit.theta[None], 2 * len(self.free), axis=0)
        for i, (column, size) in enumerate(zip(self.free, step, strict=True)):
            moved[2 * i, column] += size
            moved[2 * i + 1, column] -= size
        values = reported(self.law, moved, self.fit.scales)[name]
        values = np.log(values) if self.on_log else values
        return (values[0::2] - values[1::2]) / (2 * step)
