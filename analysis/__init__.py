"""Fits scaling laws to tables of runs. Needs numpy, scipy, pandas and matplotlib only.

>>> import pandas as pd
>>> from analysis import fit_law, load_table
>>> runs = pd.DataFrame({"n": [1e6, 1e6, 1e7, 1e7, 1e8, 1e8, 1e9, 1e9], "d": [1e9, 1e10] * 4})
>>> runs["loss"] = 1.8 + 400 / runs["n"] ** 0.34 + 2000 / runs["d"] ** 0.37
>>> fit = fit_law(load_table(runs), "chinchilla", intervals=None)
>>> round(fit.value("alpha"), 3)
0.34

The other approaches stand in modules of their own name: `analysis.isoflop_profiles.isoflop`,
`analysis.frontier.frontier`, `analysis.rolling_holdout.holdout`, `analysis.compare_groups.compare`.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

# Imported when first used, so that a command answers before scipy is read.
_PUBLIC = {"fit_law": "analysis.fit", "load_table": "analysis.table"}

__all__ = ["fit_law", "load_table"]  # given by __getattr__


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'analysis' has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)
