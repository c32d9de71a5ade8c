"""The checklist that every report card answers: what was fitted, to what, how, and how checked.

The items follow the checklist of Li et al. 2025, "(Mis)Fitting: A Survey of Scaling Laws",
arXiv:2502.18969; docs/report-card.md says where each line comes from. An item that a table cannot
answer says so: a line that is missing would read as one that does not matter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from analysis.arm import Arm
from analysis.budgets import budgets_of
from analysis.report.settings import UNKNOWN, Settings, read_settings, repeats
from analysis.sensitivity import SensitivityResult
from analysis.study import Study
from analysis.style import count, flops, loss_label, number

Facts = tuple[tuple[str, str], ...]

# Every card has these headings, in this order; `FIT` items differ between the fits of an arm.
DATA_ITEMS = (
    "Variables", "Counting", "Runs and ranges", "Excluded", "Model shapes", "Training data",
    "Hyper-parameters", "Schedule", "Checkpoint", "Loss", "Seeds",
)  # fmt: skip
FIT_ITEMS = (
    "Form", "Objective", "Start", "Optimiser", "Starts that agree", "Bounds", "Uncertainty",
    "Goodness of fit",
)  # fmt: skip
CHECK_ITEMS = ("Hold-out", "Sensitivity", "Code and data")
ITEMS = ("Form", *DATA_ITEMS, *FIT_ITEMS[1:], *CHECK_ITEMS)


@dataclass(frozen=True, kw_only=True, slots=True)
class FitFacts:
    """The lines that differ between the fits of one arm; one per item of `FIT_ITEMS`."""

    form: str
    objective: str
    start: str
    optimiser: str
    starts_that_agree: str
    bounds: str
    uncertainty: str
    goodness: str

    def lines(self) -> dict[str, str]:
        values = (self.form, self.objective, self.start, self.optimiser, self.starts_that_agree,
                  self.bounds, self.uncertainty, self.goodness)  # fmt: skip
        return dict(zip(FIT_ITEMS, values, strict=True))


def checklist(study: Study, arm: Arm, fit: FitFacts) -> Facts:
    """Every item with its answer, in the order of `ITEMS`."""
    lines = {**fit.lines(), **_data(study, arm), **_checks(study, arm)}
    return tuple((item, lines[item]) for item in ITEMS)


def _data(study: Study, arm: Arm) -> dict[str, str]:
    table, settings = arm.table, read_settings(study.source, arm.table)
    return {
        "Variables": "; ".join(
            f"{role.upper() if role != 'loss' else 'L'} = {table.columns[role]}"
            for role in ("n", "d", "c", "loss")
        ),
        "Counting": f"N: {table.labels['n']}; C: {table.labels['c']}; {_both_counts(arm)}",
        "Runs and ranges": _ranges(arm),
        "Excluded": _excluded(arm),
        "Model shapes": settings.shapes,
        "Training data": "; ".join(dict.fromkeys([settings.data, repeats(table)])),
        "Hyper-parameters": settings.hyper_parameters,
        "Schedule": settings.schedule,
        "Checkpoint": _checkpoint(arm, settings),
        "Loss": _loss(arm, settings),
        "Seeds": _seeds(arm),
    }  # fmt: skip


def _both_counts(arm: Arm) -> str:
    known = [name for name in ("params_total", "params_non_embedding", "train_flops",
                               "train_flops_6nd") if name in arm.table.frame]  # fmt: skip
    return f"columns in the table: {', '.join(known)}"


def _ranges(arm: Arm) -> str:
    n, d, c = (arm.table.values(role) for role in ("n", "d", "c"))
    decades = math.log10(c.max() / c.min())
    return (
        f"{len(n)} runs, {len(np.unique(n))} sizes, {len(np.unique(budgets_of(arm.table)))} budgets"
        f"; N {count(n.min())} to {count(n.max())}, D {count(d.min())} to {count(d.max())}, "
        f"C {flops(c.min())} to {flops(c.max())} ({decades:.1f} decades), D/N "
        f"{number((d / n).min())} to {number((d / n).max())}"
    )


def _excluded(arm: Arm) -> str:
    reasons = arm.table.excluded["reason"].value_counts() if len(arm.table.excluded) else None
    if reasons is None:
        return "none"
    return "; ".join(f"{amount} x {reason}" for reason, amount in reasons.items())


def _checkpoint(arm: Arm, settings: Settings) -> str:
    if settings.schedule != UNKNOWN:
        return "the last one of each run, after its cool-down; no checkpoint before it"
    if len(arm.table.curve_points):
        return "the last reading of each run"
    return UNKNOWN


def _loss(arm: Arm, settings: Settings) -> str:
    table = arm.table
    error = "standard error per run in the table" if "loss_standard_error" in table.columns else (
        "no standard error in the table"
    )  # fmt: skip
    where = settings.evaluation
    if where == UNKNOWN:
        where = f"text and split {UNKNOWN}"
    smoothing = "not smoothed" if settings.evaluation != UNKNOWN else f"smoothing {UNKNOWN}"
    return f"{loss_label(table.yardstick)}; {where}; {smoothing}; {error}"


def _seeds(arm: Arm) -> str:
    if "seed" not in arm.table.frame:
        return UNKNOWN
    frame = arm.table.frame
    seeds = frame["seed"].nunique()
    cells = frame.groupby([arm.table.values("n"), budgets_of(arm.table)]).size()
    return (
        f"{seeds} seed{'s' * (seeds != 1)}; {int((cells > 1).sum())} of {len(cells)} cells repeat"
    )


def _checks(study: Study, arm: Arm) -> dict[str, str]:
    return {
        "Hold-out": _holdout(arm),
        "Sensitivity": _sensitivity(study),
        "Code and data": _reproduce(study),
    }


def _holdout(arm: Arm) -> str:
    if arm.holdout is None:
        return f"not made: {arm.missing.get('holdout', 'checks were left out')}"
    ranking = arm.holdout.ranking
    errors = ", ".join(
        f"{row['law']} {100 * row['error']:.2g} %" for _, row in ranking.iterrows()
        if not math.isnan(row["error"])
    )  # fmt: skip
    return f"mean error on dearer runs than fitted: {errors}"


def _sensitivity(study: Study) -> str:
    checks: SensitivityResult | None = study.sensitivity
    if checks is None:
        why = "one arm, so that there is no verdict to check"
        if study.comparison is not None:
            why = study.missing.get("sensitivity", "checks were left out")
        return f"not made: {why}"
    flipped = sum(bool(x.flipped) for x in checks.variants)
    failed = sum(not x.verdicts for x in checks.variants)
    text = f"{len(checks.variants)} other choices, {flipped} flip a verdict"
    return text + (f", {failed} could not be judged" if failed else "")


def _reproduce(study: Study) -> str:
    if (study.source / "cells.json").is_file():
        return (
            f"settings, records and curves of every run are in {study.source.name}; commits and "
            "versions stand under Provenance"
        )
    return f"runs: {study.source.name}; training code and data {UNKNOWN}"
