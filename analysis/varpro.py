"""Starts for a fit: amplitudes by non-negative least squares inside a grid over the shapes.

For given exponents a law is linear in its amplitudes, so the search is over the shapes alone
(variable projection: Golub & Pereyra 1973). With up to three amplitudes the non-negative problem is
solved exactly by trying every set of terms in use, for all grid points at once.

Array axes: M grid points, K amplitudes, S shapes, n runs.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

from analysis.laws.law import Floats
from analysis.objective import Problem, objective_values

# Runs that the search looks at.
_MAX_RUNS = 2048
# Starts that are polished, by the number of shapes: more shapes, more valleys.
_N_STARTS = {1: 12, 2: 12, 3: 16, 4: 40}
_BLOCK_ELEMENTS = 250_000


def non_negative(gram: Floats, right: Floats) -> tuple[Floats, Floats]:
    """Solves min over x >= 0 of x' gram x / 2 - right' x exactly, for M small problems.

    Args:
        gram: [M, K, K], positive semi-definite; right: [M, K]; K at most about 4.
    Returns:
        x [M, K] and the minimum [M].
    """
    n_problems, n_terms = right.shape
    best, lowest = np.zeros_like(right), np.zeros(n_problems)
    scale = np.sqrt(np.maximum(np.einsum("mkk->mk", gram), 1e-300))
    gram, right = gram / (scale[:, :, None] * scale[:, None, :]), right / scale
    for size in range(1, n_terms + 1):
        ridge = 1e-13 * np.eye(size)
        for terms in combinations(range(n_terms), size):
            chosen = np.array(terms)
            part = np.linalg.solve(
                gram[:, chosen[:, None], chosen] + ridge, right[:, chosen, None]
            )[:, :, 0]
            value = -0.5 * (part * right[:, chosen]).sum(axis=1)
            better = (part >= 0).all(axis=1) & (value < lowest)
            lowest = np.where(better, value, lowest)
            full = np.zeros_like(right)
            full[:, chosen] = part
            best = np.where(better[:, None], full, best)
    return best / scale, lowest


def project(problem: Problem, shapes: Floats) -> Floats:
    """Adds to shapes [M, S] their amplitudes by least squares on relative error. [M, K + S].

    The relative error (loss - law) / loss is the error of log loss to first order.
    """
    law, weight = problem.law, problem.weight
    root = np.sqrt(weight)
    size = max(1, _BLOCK_ELEMENTS // problem.log_loss.size)
    parts = []
    for first in range(0, len(shapes), size):
        block = shapes[first : first + size]
        basis = law.basis(block, problem.axes) * (root * np.exp(-problem.log_loss))
        amplitudes, _ = non_negative(basis @ basis.transpose(0, 2, 1), basis @ root)
        parts.append(np.clip(np.hstack([amplitudes, block]), law.low, law.high))
    return np.concatenate(parts)


def find_starts(problem: Problem) -> Floats:
    """The best grid point and others spread over the whole grid, with amplitudes. [M, P].

    The spread ones are there to find out how many roads lead to the optimum, and whether the
    best grid point lies in the wrong valley.
    """
    problem = thinned(problem)
    n_starts = _N_STARTS[len(problem.law.shapes)]
    grid = np.meshgrid(*(np.array(p.grid) for p in problem.law.shapes), indexing="ij")
    theta = project(problem, np.stack([axis.ravel() for axis in grid], axis=1))
    value = _values(problem, theta)
    order = np.argsort(value, kind="stable")
    spread = np.linspace(0, len(theta) - 1, n_starts).round().astype(int)
    # Every k-th in order of quality: from the best to hopeless.
    chosen = order[spread[: n_starts // 2] // 4]
    lattice = np.arange(n_starts - len(chosen)) * len(theta) // (n_starts - len(chosen))
    picked = np.unique(np.concatenate([chosen, lattice + len(theta) // (2 * n_starts)]))
    best_first = [order[0], *(i for i in picked if i != order[0])]
    return theta[best_first]


def _values(problem: Problem, theta: Floats) -> Floats:
    size = max(1, _BLOCK_ELEMENTS // problem.log_loss.size)
    return np.concatenate(
        [objective_values(problem, theta[i : i + size]) for i in range(0, len(theta), size)]
    )


def thinned(problem: Problem) -> Problem:
    """At most `_MAX_RUNS` runs, picked by a fixed generator."""
    n_runs = problem.log_loss.size
    if n_runs <= _MAX_RUNS:
        return problem
    keep = np.sort(np.random.default_rng(0).choice(n_runs, _MAX_RUNS, replace=False))
    return Problem(
        law=problem.law,
        axes={role: values[keep] for role, values in problem.axes.items()},
        log_loss=problem.log_loss[keep],
        weight=problem.weight[keep],
        delta=problem.delta,
    )
