"""IsoFLOP profiles of one arm under every counting convention, for the page's slider."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np

from analysis.agreement import PROFILE_METHODS, profile_name
from analysis.arm import Arm
from analysis.budgets import budgets_of, profiles_of
from analysis.errors import AnalysisError
from analysis.isoflop_profiles import isoflop
from analysis.isoflop_result import BudgetFit, IsoflopResult, Method, RefusedBudget
from analysis.report.explore_numbers import numbers, rounded
from analysis.study import Study
from analysis.style import printed
from analysis.table import Table

# Points of a drawn profile.
_CURVE_POINTS = 48


def profiles_of_arm(
    arm: Arm, index: int, columns: Mapping[str, Sequence[str]], study: Study
) -> list[dict[str, Any]]:
    """One entry per convention of N, of C, and method.

    Args:
        columns: role (`n`, `c`) -> the columns that may play it.
    """
    made = []
    for n, c in product(columns["n"], columns["c"]):
        table = arm.table.with_columns(n=n, c=c)
        for method in PROFILE_METHODS:
            found = _result(arm, table, method, study)
            made.append({"arm": index, "n": n, "c": c, "method": method, **_entry(table, found)})
    return made


def _result(arm: Arm, table: Table, method: Method, study: Study) -> IsoflopResult | str:
    """Those of the static part where they are counted alike, new ones, or why there are none."""
    if table.columns == arm.table.columns:
        known = arm.agreement.named(profile_name(method))
        if known is not None:
            return known.result if isinstance(known.result, IsoflopResult) else known.reason
    try:
        return isoflop(table, method=method, n_boot=study.n_boot, seed=study.seed)
    except AnalysisError as error:
        return str(error)


def _entry(table: Table, found: IsoflopResult | str) -> dict[str, Any]:
    if isinstance(found, str):
        budgets = [
            _points(profile.flops, np.exp(profile.log_n), profile.loss)
            for profile in profiles_of(table, budgets_of(table))
        ]
        return {"exponent": None, "reason": found, "budgets": budgets}
    both = [*map(_used, found.budgets), *map(_refused, found.refused)]
    both.sort(key=lambda budget: budget["flops"])
    return {"exponent": f"a = {printed(found.exponents['a'])}", "reason": None, "budgets": both}


def _points(flops: float, params: Any, losses: Any) -> dict[str, Any]:
    return {"flops": rounded(flops), "n": numbers(params), "loss": numbers(losses)}


def _used(fit: BudgetFit) -> dict[str, Any]:
    log_n = np.linspace(np.log(fit.params.min()), np.log(fit.params.max()), _CURVE_POINTS)
    box = fit.params_interval
    return {
        **_points(fit.flops, fit.params, fit.losses),
        "curve": [numbers(np.exp(log_n)), numbers(fit.curve(log_n))],
        "best": {
            "n": rounded(fit.params_opt),
            "low": rounded(box.low) if box else None,
            "high": rounded(box.high) if box else None,
            "tokens": rounded(fit.tokens_opt),
            "loss": rounded(fit.loss_opt),
        },
    }


def _refused(budget: RefusedBudget) -> dict[str, Any]:
    return {**_points(budget.flops, budget.params, budget.losses), "reason": budget.reason}
