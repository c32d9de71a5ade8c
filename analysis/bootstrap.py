"""Draws of the parameters: how far another set of runs would have moved the fit.

By run or by cluster (a size, by default): with 20 or more of them they are resampled with
replacement (Efron 1979; clusters: Field & Welsh 2007), the law is refitted to each resample, and
percentiles are stretched for the few clusters there are. With fewer, a resample often holds two
or three distinct sizes and no law can be told from it: losses are then simulated from the fit with
the variance components of its residuals, themselves drawn (see variance.py), and refitted. With
seeds as second level, the seeds of a size are resampled (simulated) within it.

Array axes: M draws, P parameters, n runs, G clusters.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.inputs import Runs
from analysis.laws.law import Floats
from analysis.objective import Problem
from analysis.polish import polish
from analysis.variance import Components
from analysis.working import Working

MIN_CLUSTERS = 20
# Draws x runs up to which every draw is refitted; above, one step from the optimum.
_MAX_REFIT = 2_000_000
_REFIT_TOLERANCE = 1e-6
# delta that stands for l1 in the refits.
_SMOOTH_L1 = 1e-5


@dataclass(frozen=True, kw_only=True, slots=True)
class Draws:
    """theta: [M, P]; `stretch` widens percentiles about the estimate for small samples."""

    theta: Floats
    method: str
    stretch: float
    n_clusters: int
    unconverged_share: float


def bootstrap(
    problem: Problem,
    theta: Floats,
    other_start: Floats,
    *,
    runs: Runs,
    working: Working,
    n_draws: int,
    seed: int,
) -> Draws | None:
    """Draws of the fit of `problem`.

    Args:
        theta: the optimum [P]; other_start: a second start for each refit [P].
    Returns:
        None where no degree of freedom is left to draw from.
    """
    if working.components is None:
        return None
    rng = np.random.default_rng(seed)
    problem = dataclasses.replace(problem, delta=max(problem.delta, _SMOOTH_L1))
    top = runs.clusters[0] if runs.clusters else np.arange(runs.n_runs)
    n_clusters = int(top.max()) + 1
    if n_clusters < MIN_CLUSTERS:
        return _simulated(problem, theta, other_start, runs, working, n_draws, rng)
    is_by_run = n_clusters == runs.n_runs
    lost = int(working.free.sum()) if is_by_run else 1
    if n_draws * runs.n_runs > _MAX_REFIT:
        drawn, unconverged = _one_step(theta, working, top, n_draws, rng), 0.0
    else:
        weight = runs.weight * _resample(runs, n_draws, rng)
        resampled = dataclasses.replace(problem, weight=weight)
        drawn, unconverged = _refit(resampled, theta, other_start, n_draws)
    return Draws(
        theta=drawn,
        method=f"bootstrap by {runs.cluster}",
        stretch=_stretch(n_clusters, lost),
        n_clusters=n_clusters,
        unconverged_share=unconverged,
    )


def _stretch(n_units: int, lost: int) -> float:
    """Student's t for the normal quantile, and the bias of a resampled variance.

    Source: the expanded percentile interval of Hesterberg 2015, The American Statistician 69(4).
    """
    from scipy.stats import t  # slow to import

    freedom = n_units - lost
    return float(t.ppf(0.975, freedom) / 1.959964 * np.sqrt(n_units / freedom))


def _refit(
    problem: Problem, theta: Floats, other_start: Floats, n_draws: int
) -> tuple[Floats, float]:
    """Refits every draw from the optimum and from elsewhere; keeps the better."""
    start = np.repeat(np.stack([theta, other_start]), n_draws, axis=0)
    # Both starts in one batch: its cost is that of the slowest draw, which is paid once.
    ends = polish(_twice(problem), start, tolerance=_REFIT_TOLERANCE)
    first, second = ends.objective.reshape(2, n_draws)
    better = second < first * (1 - 1e-6)
    drawn = np.where(better[:, None], ends.theta[n_draws:], ends.theta[:n_draws])
    converged = np.where(better, ends.converged[n_draws:], ends.converged[:n_draws])
    return drawn, float(1.0 - converged.mean())


def _twice(problem: Problem) -> Problem:
    """The problems under each other, twice."""
    log_loss, weight = (
        values if values.ndim == 1 else np.concatenate([values, values])
        for values in (problem.log_loss, problem.weight)
    )
    return dataclasses.replace(problem, log_loss=log_loss, weight=weight)


def _resample(runs: Runs, n_draws: int, rng: np.random.Generator) -> Floats:
    """How often each run stands in each resample, [M, n]."""
    if not runs.clusters:
        n = runs.n_runs
        return rng.multinomial(n, np.full(n, 1.0 / n), size=n_draws).astype(float)
    top, *finer = runs.clusters
    n_clusters = int(top.max()) + 1
    counts = rng.multinomial(n_clusters, np.full(n_clusters, 1.0 / n_clusters), size=n_draws)
    if not finer:
        return counts[:, top].astype(float)
    inner = np.zeros((n_draws, int(finer[0].max()) + 1))
    for cluster in range(n_clusters):
        members = np.unique(finer[0][top == cluster])
        size = len(members)
        inner[:, members] = rng.multinomial(counts[:, cluster] * size, np.full(size, 1.0 / size))
    return inner[:, finer[0]]


def _one_step(
    theta: Floats, working: Working, ids: NDArray[np.intp], n_draws: int, rng: np.random.Generator
) -> Floats:
    """One Newton step per resample, from scores summed by cluster (Kline & Santos 2012).

    A sum over resampled clusters of so many runs is normal, so it is drawn as such.
    """
    law = working.problem.law
    score = np.stack(
        [np.bincount(ids, working.pseudo * column) for column in working.jacobian.T], axis=1
    )
    step = (score - score.mean(axis=0)) @ working.inverse
    drawn = theta + rng.standard_normal((n_draws, len(theta))) @ _root(step.T @ step).T
    return np.clip(drawn, law.low, law.high)


def _root(covariance: Floats) -> Floats:
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))


def _simulated(
    problem: Problem,
    theta: Floats,
    other_start: Floats,
    runs: Runs,
    working: Working,
    n_draws: int,
    rng: np.random.Generator,
) -> Draws:
    components = working.components
    assert components is not None
    variances = components.draw(n_draws, rng)
    effects = [
        rng.standard_normal((n_draws, int(ids.max()) + 1)) * np.sqrt(variances[:, [level]])
        for level, ids in enumerate(components.levels)
    ]
    unconverged = 0.0
    if n_draws * runs.n_runs > _MAX_REFIT:
        drawn = _linear_draws(theta, working, effects, variances, rng)
    else:
        fitted = problem.law.model(theta[None], problem.axes)[0][0]
        errors = _run_errors(working, components, n_draws, rng) * np.sqrt(variances[:, [-1]])
        log_loss = np.log(fitted) + errors / np.sqrt(runs.weight)
        for effect, ids in zip(effects, components.levels, strict=True):
            log_loss += effect[:, ids]
        simulated = dataclasses.replace(problem, log_loss=log_loss)
        drawn, unconverged = _refit(simulated, theta, other_start, n_draws)
    top = runs.clusters[0] if runs.clusters else np.arange(runs.n_runs)
    return Draws(
        theta=drawn,
        method=f"bootstrap by {runs.cluster}, simulated",
        stretch=1.0,
        n_clusters=int(top.max()) + 1,
        unconverged_share=unconverged,
    )


def _run_errors(
    working: Working, components: Components, n_draws: int, rng: np.random.Generator
) -> Floats:
    """Smoothed draws from the residuals, unit variance, [M, n]."""
    pool, drawn_in = working.residual, working.pseudo
    if components.levels:
        ids = components.levels[-1]
        count = np.bincount(ids)
        pool = pool - (np.bincount(ids, pool) / count)[ids]
        drawn_in = drawn_in - (np.bincount(ids, drawn_in) / count)[ids]
    pool = (pool - pool.mean()) / max(float(drawn_in.std()), 1e-300)
    n = len(pool)
    kernel = n**-0.2
    picked = pool[rng.integers(n, size=(n_draws, n))]
    smooth = picked + kernel * rng.standard_normal((n_draws, n))
    return np.asarray(smooth / np.sqrt(1.0 + kernel**2))


def _linear_draws(
    theta: Floats,
    working: Working,
    effects: list[Floats],
    variances: Floats,
    rng: np.random.Generator,
) -> Floats:
    """Draws for tables so large that the law is straight over the errors of its parameters."""
    law, inverse = working.problem.law, working.inverse
    steps = rng.standard_normal((len(variances), len(theta))) @ _root(inverse).T
    steps *= np.sqrt(variances[:, [-1]])
    assert working.components is not None
    for effect, ids in zip(effects, working.components.levels, strict=True):
        weighted = working.jacobian * np.sqrt(working.problem.weight)[:, None]
        by_cluster = np.stack([np.bincount(ids, column) for column in weighted.T], axis=1)
        steps += effect @ by_cluster @ inverse
    return np.clip(theta + steps, law.low, law.high)
