"""Study: everything that a report of one table holds, each part a result or the reason for none."""

from __future__ import annotations

import dataclasses
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
    agreement,
    law_name,
    profile_name,
)
from analysis.compare_groups import compare
from analysis.comparison import Comparison
from analysis.envelope import Envelope, lower_envelope
from analysis.errors import AnalysisError
from analysis.flops_rule import flops_rule
from analysis.isoflop_result import IsoflopResult
from analysis.next_runs import NextRuns, next_runs
from analysis.result import FitResult
from analysis.rolling_holdout import HoldoutResult, holdout
from analysis.sensitivity import SensitivityResult, sensitivity_of_comparison
from analysis.style import Mark, arm_marks
from analysis.sweep_limits import read_limits
from analysis.table import Table, load_table

Result = TypeVar("Result")

# Draws behind the intervals: the edges of a 95 % interval then move by about 3 % of its width
# with the seed.
N_BOOT = 1000
# Draws for second opinions (bits per byte, other conventions), where the sign is what counts.
_N_BOOT_CHECKS = 200
_LAW = "chinchilla"


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Study:
    """A table and all that was made from it.

    Attributes:
        comparison: of the arms, each in its own yardstick; None for a single arm.
        bits: the same on bits per byte, the yardstick that arms share.
        sensitivity, bits_sensitivity: every verdict of the two under other choices.
        missing: name of a part of the whole study (`comparison`, `bits`) -> reason.
    """

    source: Path
    table: Table
    arms: dict[str, Arm]
    comparison: Comparison | None
    bits: Comparison | None
    sensitivity: SensitivityResult | None
    bits_sensitivity: SensitivityResult | None
    n_boot: int
    seed: int
    missing: dict[str, str] = field(default_factory=dict)


def attempt(part: str, missing: dict[str, str], make: Callable[[], Result]) -> Result | None:
    """The result, or None with the reason noted: one part that fails must not hide the others."""
    try:
        return make()
    except AnalysisError as error:
        missing[part] = str(error)
        return None


def make_study(
    source: Path,
    table: Table,
    *,
    reference: str | None = None,
    n_boot: int = N_BOOT,
    seed: int = 0,
    with_checks: bool = True,
) -> Study:
    """Fits and compares the arms of a table; what cannot be made carries its reason.

    Args:
        source: the folder or file that the table was read from; bits per byte are read there.
        reference: the arm that the others are compared with; None takes the first.
        with_checks: also hold-out, other conventions and next runs, which no figure shows.
    """
    missing: dict[str, str] = {}
    comparison = bits = checks = bits_checks = in_bits = None
    if len(table.groups) > 1:
        comparison = attempt(
            "comparison", missing,
            lambda: compare(table, reference=reference, n_boot=n_boot, seed=seed),
        )  # fmt: skip
        in_bits = attempt("bits", missing, lambda: _in_bits(source, table))
    if in_bits is not None:
        shared = in_bits
        bits = attempt("bits", missing, lambda: _compare_bits(shared, reference, seed))
    if with_checks:
        checks = _sensitivity("sensitivity", missing, table, comparison)
        bits_checks = _sensitivity("bits_sensitivity", missing, in_bits, bits)
    return Study(
        source=source, table=table, comparison=comparison, bits=bits, sensitivity=checks,
        bits_sensitivity=bits_checks,
        arms=_make_arms(
            source, table, comparison, n_boot=n_boot, seed=seed, with_checks=with_checks
        ),
        n_boot=n_boot, seed=seed, missing=missing,
    )  # fmt: skip


def _sensitivity(
    part: str, missing: dict[str, str], table: Table | None, base: Comparison | None
) -> SensitivityResult | None:
    if table is None or base is None:
        return None
    return attempt(
        part, missing, lambda: sensitivity_of_comparison(table, base, n_boot=_N_BOOT_CHECKS)
    )


def _in_bits(source: Path, table: Table) -> Table:
    """The same runs by their bits per byte, under the same counts and in the same groups."""
    if table.columns["loss"] == "bits_per_byte":
        raise AnalysisError("the table's loss is bits per byte already")
    if "bits_per_byte" not in table.frame:
        raise AnalysisError(
            "the table has no bits per byte: levels of different losses are not compared"
        )
    shared = load_table(source, loss="bits_per_byte")
    counts = {role: table.columns[role] for role in ("n", "d", "c")
              if table.columns[role] in shared.frame}  # fmt: skip
    group_of = dict(zip(table.frame["run_id"], table.frame["group"], strict=True))
    groups = shared.frame["run_id"].map(group_of)
    # A run that is in no group of the table was left out there.
    shared = dataclasses.replace(shared, frame=shared.frame.assign(group=groups))
    return shared.exclude(groups.isna(), "not in the table").with_columns(**counts)


def _compare_bits(shared: Table, reference: str | None, seed: int) -> Comparison:
    """Both arms on one yardstick: the only place where their levels may be compared."""
    return compare(shared, reference=reference, laws=(_LAW,), n_boot=_N_BOOT_CHECKS, seed=seed)


def _make_arms(
    source: Path,
    table: Table,
    comparison: Comparison | None,
    *,
    n_boot: int,
    seed: int,
    with_checks: bool,
) -> dict[str, Arm]:
    """One arm per group, in order of first appearance; fits of the comparison are used again."""
    names = table.groups or ("all runs",)
    marks = arm_marks(names)
    arms = {}
    for name in names:
        own = table.select(group=name) if table.groups else table
        known = comparison.arms.get(name) if comparison else None
        found = known or agreement(own, n_boot=n_boot, seed=seed)
        arms[str(name)] = _make_arm(
            source, str(name), own, marks[name], found, with_checks=with_checks
        )
    return arms


def _make_arm(
    source: Path,
    name: str,
    table: Table,
    mark: Mark,
    found: AgreementResult,
    *,
    with_checks: bool,
) -> Arm:
    missing: dict[str, str] = {}
    law = found.named(law_name(_LAW))
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
