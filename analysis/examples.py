"""Runs that follow a known law: for examples, and to try a protocol out before it is paid for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

LAW = {"E": 1.8, "A": 400.0, "alpha": 0.34, "B": 2000.0, "beta": 0.37}


def planted_runs(
    *,
    sizes: Sequence[float] = (4e6, 1.2e7, 3.6e7, 1.1e8, 3.3e8, 1e9, 3e9),
    budgets: Sequence[float] = (1e17, 6e17, 3.6e18, 2.2e19, 1.3e20),
    tokens_per_param: tuple[float, float] = (0.5, 2000.0),
    noise: float = 0.002,
    seed: int = 0,
    **law: float,
) -> pd.DataFrame:
    """A study whose truth is known: an isoFLOP grid of sizes and budgets with C = 6ND.

    Args:
        sizes, budgets: N in params and C in FLOPs.
        tokens_per_param: least and most D / N that is kept.
        noise: standard deviation of log loss.
        law: parameters that differ from `LAW`, in loss = E + A / N^alpha + B / D^beta.
    Returns:
        One row per run: `N`, `D`, `C`, `loss`.

    >>> runs = planted_runs(noise=0.0)
    >>> len(runs), f"{runs.loss.min():.2f}"
    (19, '2.45')
    """
    true = LAW | law
    n, c = (axis.ravel() for axis in np.meshgrid(sizes, budgets, indexing="ij"))
    d = c / (6 * n)
    kept = (d / n >= tokens_per_param[0]) & (d / n <= tokens_per_param[1])
    n, d, c = n[kept], d[kept], c[kept]
    clean = true["E"] + true["A"] * n ** -true["alpha"] + true["B"] * d ** -true["beta"]
    measured = clean * np.exp(noise * np.random.default_rng(seed).standard_normal(len(n)))
    return pd.DataFrame({"N": n, "D": d, "C": c, "loss": measured})
