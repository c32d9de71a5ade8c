"""Frames of runs that follow a Chinchilla law exactly, or with seeded noise."""

from __future__ import annotations

import numpy as np
import pandas as pd

LAW = {"E": 1.8, "A": 400.0, "B": 2000.0, "alpha": 0.34, "beta": 0.37}
SIZES = np.geomspace(2e6, 1e9, 8)
BUDGETS = np.geomspace(1e17, 1e20, 5)


def law_loss(n: np.ndarray, d: np.ndarray, **changes: float) -> np.ndarray:
    law = LAW | changes
    return np.asarray(law["E"] + law["A"] * n ** -law["alpha"] + law["B"] * d ** -law["beta"])


def isoflop_frame(
    *,
    sizes: np.ndarray = SIZES,
    budgets: np.ndarray = BUDGETS,
    noise: float = 0.0,
    seed: int = 0,
    seeds: int = 1,
    ratio: tuple[float, float] = (1.0, 500.0),
    **changes: float,
) -> pd.DataFrame:
    """Runs on a grid of sizes and budgets with C = 6ND.

    Args:
        noise: standard deviation of log loss.
        ratio: tokens per parameter that the grid keeps.
        changes: parameters of the law that differ from `LAW`.
    """
    n, c, run_seed = (
        axis.ravel() for axis in np.meshgrid(sizes, budgets, np.arange(seeds), indexing="ij")
    )
    d = c / (6 * n)
    keep = (d / n >= ratio[0]) & (d / n <= ratio[1])
    n, d, c, run_seed = n[keep], d[keep], c[keep], run_seed[keep]
    rng = np.random.default_rng(seed)
    loss = law_loss(n, d, **changes) * np.exp(noise * rng.standard_normal(len(n)))
    frame = pd.DataFrame({"params_total": n, "tokens": d, "flops": c, "loss": loss})
    return frame.assign(seed=run_seed) if seeds > 1 else frame


def grouped_frame(groups: dict[str, dict[str, float]], **options: object) -> pd.DataFrame:
    """One isoflop frame per group under each other; each group's law differs by its changes."""
    parts = [
        isoflop_frame(seed=i, **{**options, **changes}).assign(group=name)  # type: ignore[arg-type]
        for i, (name, changes) in enumerate(groups.items())
    ]
    return pd.concat(parts, ignore_index=True)
