"""Variance components of the residuals: how much belongs to a size, a seed, a run.

Runs of one size share what was not tuned for that size, so their residuals move together. With
few sizes a resample of sizes says little; the variance of a size effect can still be estimated, and
its uncertainty with it. Moments of the projected residuals (Henderson's method 3: Searle, Casella &
McCulloch 1992, chapter 5), Satterthwaite's degrees of freedom, and draws of the components as in
generalised confidence intervals (Weerahandi 1995, chapter 9).

Array axes: n runs, P parameters, L levels (coarse to fine), then the runs themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.laws.law import Floats

Ints = NDArray[np.intp]


@dataclass(frozen=True, kw_only=True, slots=True)
class Components:
    """Variances of log loss by level, the last one that of a single run.

    Attributes:
        levels: cluster ids [n] of the levels with a positive variance, coarse to fine.
        variances: [L + 1].
        moments, freedom: [L + 1] sums of squares and their degrees of freedom.
        expected: [L + 1, L + 1], moments = expected @ variances on average.
    """

    levels: tuple[Ints, ...]
    variances: Floats
    moments: Floats
    freedom: Floats
    expected: Floats

    def draw(self, n_draws: int, rng: np.random.Generator) -> Floats:
        """Variances that the moments are compatible with, [n_draws, L + 1]."""
        chi2 = rng.chisquare(self.freedom, size=(n_draws, len(self.freedom)))
        moments = self.moments * self.freedom / np.maximum(chi2, 1e-3 * self.freedom)
        return np.asarray(np.maximum(np.linalg.solve(self.expected, moments.T).T, 0.0))

    def of_linear(self, influence: Floats, weight: Floats) -> tuple[float, float]:
        """Variance of a weighted sum of errors, and its degrees of freedom.

        Args:
            influence: [n], coefficients of the errors times the root of the weights.
            weight: [n].
        """
        length = float(np.linalg.norm(influence))
        influence = influence / length
        share = [
            float((np.bincount(ids, influence * np.sqrt(weight)) ** 2).sum()) for ids in self.levels
        ]
        share.append(float(influence @ influence))
        per_moment = np.linalg.solve(self.expected.T, np.array(share))
        variance = float(per_moment @ self.moments)
        spread = float((per_moment**2 * 2.0 * self.moments**2 / self.freedom).sum())
        if not variance > 0.0 or not spread > 0.0:
            return max(variance, 0.0) * length**2, float(self.freedom[-1])
        freedom = 2.0 * variance**2 / spread
        return variance * length**2, float(np.clip(freedom, 1.0, self.freedom.sum()))


def variance_components(
    jacobian: Floats, residual: Floats, weight: Floats, levels: tuple[Ints, ...]
) -> Components | None:
    """Splits residual variance over the levels; a level whose variance is not above 0 is left out.

    Args:
        jacobian: [n, P], of log loss, times the root of the weights.
        residual: [n], likewise.
        weight: [n].
        levels: cluster ids [n], each nested in the one before.
    Returns:
        None where the law leaves no degree of freedom.
    """
    basis = _orthonormal(jacobian)
    if len(residual) - basis.shape[1] < 1:
        return None
    kept = list(levels)
    while True:
        components = _solve(basis, residual, weight, tuple(kept))
        if components is None:
            kept.pop()  # the finest level cannot be told from the runs
            continue
        below = np.flatnonzero(components.variances[:-1] <= 0.0)
        if not below.size:
            return components
        del kept[int(below[-1])]


def _orthonormal(jacobian: Floats) -> Floats:
    length = np.linalg.norm(jacobian, axis=0)
    columns = jacobian[:, length > 0] / length[length > 0]
    left, size, _ = np.linalg.svd(columns, full_matrices=False)
    return np.asarray(left[:, size > 1e-10 * size.max(initial=0.0)])


def _solve(
    basis: Floats, residual: Floats, weight: Floats, levels: tuple[Ints, ...]
) -> Components | None:
    n_runs, rank = basis.shape
    root = np.sqrt(weight)
    residual = residual - basis @ (basis.T @ residual)
    total: list[Floats] = [np.bincount(ids, weight).astype(float) for ids in levels]
    # Means per cluster, as orthonormal rows: of the law's tangent space [G, rank].
    tangent = [
        np.stack([np.bincount(ids, root * column) for column in basis.T], axis=1)
        / np.sqrt(size)[:, None]
        for ids, size in zip(levels, total, strict=True)
    ]
    n_levels = len(levels)
    square = np.zeros(n_levels + 1)  # residual, projected on the means of a level
    expected = np.zeros((n_levels + 1, n_levels + 1))
    freedom, overlap = np.zeros(n_levels + 1), np.zeros(n_levels + 1)
    for i, ids in enumerate(levels):
        square[i] = float((np.bincount(ids, root * residual) ** 2 / total[i]).sum())
        projected = np.eye(len(total[i])) - tangent[i] @ tangent[i].T
        freedom[i], overlap[i] = np.trace(projected), (projected**2).sum()
        expected[i, n_levels] = freedom[i]
        for k, other in enumerate(levels):
            cross = (
                _cross(ids, other, root, total[i])
                - tangent[i] @ (tangent[k] * np.sqrt(total[k])[:, None]).T
            )
            expected[i, k] = (cross**2).sum()
    square[n_levels] = float(residual @ residual)
    freedom[n_levels] = overlap[n_levels] = expected[n_levels, n_levels] = n_runs - rank
    for k in range(n_levels):
        expected[n_levels, k] = total[k].sum() - (tangent[k] ** 2 * total[k][:, None]).sum()
    return _differences(levels, square, expected, freedom, overlap)


def _cross(ids: Ints, other: Ints, root: Floats, total: Floats) -> Floats:
    """Rows of normalised cluster means against columns of cluster indicators, [G, H]."""
    table = np.zeros((len(total), int(other.max()) + 1))
    np.add.at(table, (ids, other), root**2)
    return np.asarray(table / np.sqrt(total)[:, None])


def _differences(
    levels: tuple[Ints, ...], square: Floats, expected: Floats, freedom: Floats, overlap: Floats
) -> Components | None:
    """From sums of squares up to a level to those between one level and the next."""
    for table in (square, expected, freedom, overlap):
        table[1:] -= table[:-1].copy()
    if (freedom < 0.5).any() or np.linalg.cond(expected) > 1e10:
        return None
    return Components(
        levels=levels,
        variances=np.asarray(np.linalg.solve(expected, square)),
        moments=np.maximum(square, 0.0),
        # Satterthwaite: no less than the trace, and whole where the level is balanced.
        freedom=np.clip(freedom**2 / np.maximum(overlap, 1e-12), freedom, freedom + 1.0),
        expected=expected,
    )
