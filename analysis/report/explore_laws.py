"""The laws behind the page's budget calculator: exact parameters and draws, and how C is counted.

The page evaluates them at any budget as `scaling predict` does; a test holds the two against each
other. A law is fitted for each convention of N; the convention of C only says what a budget buys.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from analysis.arm import LAW, Arm
from analysis.commands.fit import fit_groups
from analysis.errors import AnalysisError
from analysis.flops_rule import per_token_by_size
from analysis.report.explore_numbers import exact
from analysis.result import FitResult
from analysis.study import Study
from analysis.table import Table


def laws_of(
    arm: Arm, index: int, columns: Mapping[str, Sequence[str]], study: Study
) -> list[dict[str, Any]]:
    """One entry per convention of N; `reason` says why one has no law."""
    made = []
    for n in columns["n"]:
        table = arm.table.with_columns(n=n)
        entry: dict[str, Any] = {"arm": index, "n": n, "reason": None}
        try:
            fit = _fit(arm, table, study).raise_for_status()
        except AnalysisError as error:
            made.append(entry | {"reason": str(error)})
            continue
        rules = {c: _rule(table.with_columns(c=c)) for c in columns["c"]}
        made.append(entry | _law(fit) | {"rules": rules})
    return made


def _fit(arm: Arm, table: Table, study: Study) -> FitResult:
    """The law of the static part where N is counted alike, else one fitted as it was."""
    if arm.fit is not None and table.columns["n"] == arm.table.columns["n"]:
        return arm.fit
    fits, _ = fit_groups(table, law=LAW, n_boot=study.n_boot, seed=study.seed)
    return next(iter(fits.values()))


def _law(fit: FitResult) -> dict[str, Any]:
    assert fit.law == LAW, "the page's script knows this law alone"
    return {
        "formula": fit.formula,
        "status": fit.status,
        "flags": [flag.message for flag in fit.flags if flag.severity != "note"],
        "scales": {role: float(fit.scales[role]) for role in ("n", "d", "loss")},
        "theta": exact(fit.theta),
        "draws": exact(fit.draws) if fit.draws is not None else None,
        "stretch": float(fit.draws_stretch),
        "method": fit.draws_method,
    }


def _rule(table: Table) -> dict[str, Any]:
    """What a budget buys: log FLOPs per token over log N, None for 6ND; and the runs' FLOPs."""
    flops = table.values("c")
    read = per_token_by_size(table)
    return {
        "per_token": None if read is None else [exact(read[0]), exact(read[1])],
        "low": float(np.min(flops)),
        "high": float(np.max(flops)),
    }
