"""Fits scaling laws to tables of runs. Needs numpy, scipy, pandas and matplotlib only.

>>> from analysis import fit_law, load_table
>>> from analysis.examples import planted_runs
>>> fit = fit_law(load_table(planted_runs()), "chinchilla", intervals=None)
>>> round(fit.value("alpha"), 3)
0.342

A table comes from `load_table`. `fit_law`, `isoflop` and `frontier` are the three approaches to
the exponents, `holdout` tells which law predicts, `compare` sets groups side by side, and
`report_card` and `plot` show a result. `docs/analysis.md` is the guide.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analysis.compare_groups import compare
    from analysis.curve_frontier import frontier
    from analysis.errors import AnalysisError
    from analysis.fit import fit_law
    from analysis.isoflop_profiles import isoflop
    from analysis.plots.of_result import plot
    from analysis.report.report_card import report_card
    from analysis.rolling_holdout import holdout
    from analysis.table import load_table

# Imported when first used, so that a command answers before scipy is read.
_PUBLIC = {
    "AnalysisError": "analysis.errors",
    "compare": "analysis.compare_groups",
    "fit_law": "analysis.fit",
    "frontier": "analysis.curve_frontier",
    "holdout": "analysis.rolling_holdout",
    "isoflop": "analysis.isoflop_profiles",
    "load_table": "analysis.table",
    "plot": "analysis.plots.of_result",
    "report_card": "analysis.report.report_card",
}

__all__ = [
    "AnalysisError", "compare", "fit_law", "frontier", "holdout", "isoflop", "load_table", "plot",
    "report_card",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'analysis' has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
