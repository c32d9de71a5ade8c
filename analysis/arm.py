"""Arm: the runs of one group of a study and all that was fitted to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd

from analysis.agreement import (
    DISQUALIFYING,
    PROFILE_METHODS,
    AgreementResult,
    law_name,
    profile_name,
)
from analysis.envelope import Envelope, lower_envelope
from analysis.errors import AnalysisError
from analysis.flops_rule import flops_rule
from analysis.holdout_result import HoldoutResult
from analysis.isoflop_result import IsoflopResult
from analysis.next_runs import NextRuns, next_runs
from analysis.result import FitResult
from analysis.rolling_holdout import holdout
from analysis.style import Mark
from analysis.sweep_limits import read_limits
from analysis.table import Table

Result = TypeVar("Result")

# The law whose surface is drawn and whose numbers stand in the tables.
LAW = "chinchilla"


@dataclass(frozen=True, kw_only=True, slots=True)
class Arm:
    """The runs of one group and what was fitted to them.

    Attributes:
        agreement: the exponent of N* by every approach, with the fits behind it.
        envelope: lower envelope of the comparable losses, for the figure; its exponent is in
            `agreement`.
        next_runs: cells that would narrow the interval of `a` most, for as many FLOPs again as
            the dearest budget of the table took.
        optima: N*, D* and loss of the fitted law along the budgets of the table.
        missing: name of a part (`fit`, `isoflop`, ...) -> why it is not there.
    """

    name: str
    table: Table
    mark: Mark
    agreement: AgreementResult
    fit: FitResult | None
    isoflop: IsoflopResult | None
    envelope: Envelope | None
    optima: pd.DataFrame | None
    holdout: HoldoutResult | None
    next_runs: NextRuns | None
    missing: dict[str, str] = field(default_factory=dict)

    @property
    def isoflop_doubts(self) -> tuple[str, ...]:
        """Why the exponent of the isoFLOP minima carries no verdict; empty if nothing does."""
        name = profile_name(self.isoflop.method) if self.isoflop else ""
        found = self.agreement.named(name)
        return found.doubts if found else ()

    def surface_doubts(self, quantity: str) -> tuple[str, ...]:
        """Why a number of the loss surface carries no verdict: the same in tables and figures."""
        if self.fit is None:
            return ()
        found = self.agreement.named(law_name(self.fit.law))
        if quantity in ("a", "b"):
            return found.doubts if found else ()
        numbers = {*self.fit.estimates, *self.fit.derived}
        doubts = tuple(
            flag.message for flag in self.fit.flags
            if flag.code in DISQUALIFYING
            and (flag.parameter == quantity or flag.parameter not in numbers)
        )  # fmt: skip
        return doubts or (("the fit failed",) if self.fit.status == "failed" else ())


def attempt(part: str, missing: dict[str, str], make: Callable[[], Result]) -> Result | None:
    """The result, or None with the reason noted: one part that fails must not hide the others."""
    try:
        return make()
    except AnalysisError as error:
        missing[part] = str(error)
        return None


def make_arm(
    source: Path,
    name: str,
    table: Table,
    mark: Mark,
    found: AgreementResult,
    *,
    with_checks: bool,
) -> Arm:
    """The parts of one arm; those that cannot be made leave their reason in `missing`.

    Args:
        source: the folder or file of the table; a sweep's limits are read there.
        found: the exponent by every approach, with the fits behind it.
        with_checks: also hold-out and next runs, which no figure shows.
    """
    missing: dict[str, str] = {}
    law = found.named(law_name(LAW))
    fit = law.result if law and isinstance(law.result, FitResult) else None
    if fit is None:
        missing["fit"] = law.reason if law else "no law was fitted"
    profiles = [found.named(profile_name(method)) for method in PROFILE_METHODS]
    results = [x.result for x in profiles if x and isinstance(x.result, IsoflopResult)]
    if not results:
        # The other method is refused by the same budgets; Checks lists the reasons of both.
        missing["isoflop"] = next(x.reason for x in profiles if x)
    return Arm(
        name=name, table=table, mark=mark, agreement=found, fit=fit,
        isoflop=results[0] if results else None,
        # Without an average: the fixed validation set has no noise of its own.
        envelope=attempt("envelope", missing, lambda: lower_envelope(table, smoothing=1)),
        optima=attempt("optima", missing, lambda: _optima(fit, table)) if fit else None,
        holdout=attempt("holdout", missing, lambda: holdout(table)) if with_checks else None,
        next_runs=attempt("next_runs", missing, lambda: _next(source, fit, table))
        if fit and with_checks else None,
        missing=missing,
    )  # fmt: skip


def _optima(fit: FitResult, table: Table) -> pd.DataFrame:
    flops = table.values("c")
    return optima_along(fit, table, low=flops.min() / 1.5, high=flops.max() * 1.5)


def _next(source: Path, fit: FitResult, table: Table) -> NextRuns:
    flops = table.values("c")
    dearest = flops[flops > 0.9 * flops.max()].sum()
    limits = read_limits(source, table)
    return next_runs(fit, table, float(dearest), max_cells=4, limits=limits)


def optima_along(
    fit: FitResult, table: Table, *, low: float, high: float, steps: int = 11
) -> pd.DataFrame:
    """N*, D* and loss of a law in N and D along C, counted as in the table.

    Returns:
        `flops`, and for `params`, `tokens`, `loss` the value, `..._low` and `..._high`.
    """
    rule = flops_rule(table)
    rows = []
    for budget in np.geomspace(low, high, steps):
        optimum = fit.optimal(float(budget), train_flops=rule)
        row = {"flops": float(budget)}
        for name in ("params", "tokens", "loss"):
            estimate = getattr(optimum, name)
            box = estimate.interval
            row |= {name: estimate.value, f"{name}_low": box.low if box else np.nan,
                    f"{name}_high": box.high if box else np.nan}  # fmt: skip
        rows.append(row)
    return pd.DataFrame(rows)
