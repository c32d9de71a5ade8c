"""Sensitivity: each verdict again under every convention, estimator and excluded run.

One choice is changed at a time and the rest is left as it was, so that a flip has one cause.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.agreement import ENVELOPE, PROFILE_METHODS, law_name, profile_name
from analysis.compare_groups import compare
from analysis.comparison import Comparison
from analysis.difference import Verdict
from analysis.errors import AnalysisError
from analysis.fit import Objective
from analysis.table import Table
from analysis.values import Flag

CONVENTIONS: dict[str, Sequence[str]] = {
    "n": ("params_total", "params_non_embedding"),
    "c": ("train_flops", "train_flops_6nd"),
}
ESTIMATORS: tuple[Objective, ...] = ("huber", "l1", "ls")
# Runs that are put back one by one; with more, a table has other troubles.
MAX_RESTORED = 12

Judge = Callable[[Table, Objective], Sequence[Verdict]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Variant:
    """The verdicts after one change.

    Attributes:
        change: such as "N = params_non_embedding"; kind: convention, estimator or excluded run.
        verdicts: in the order of the baseline's topics; empty where none could be reached, and
            `reason` says why.
        flipped: topics whose claim is another one than at the baseline.
    """

    change: str
    kind: str
    verdicts: tuple[Verdict, ...]
    flipped: tuple[str, ...]
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class SensitivityResult:
    """All variants beside the baseline.

    Attributes:
        stable: topic -> whether its claim is the same in every variant that could be judged.
        sentences: one per topic, that says whether and by what the verdict flips.
    """

    baseline: tuple[Verdict, ...]
    variants: tuple[Variant, ...]
    stable: dict[str, bool]
    sentences: tuple[str, ...]
    flags: tuple[Flag, ...]

    def frame(self) -> pd.DataFrame:
        """One row per variant and topic: change, kind, topic, value, low, high, claim, flips."""
        rows = []
        for variant in self.variants:
            for verdict in variant.verdicts:
                estimate = verdict.estimate
                interval = estimate.interval if estimate else None
                rows.append({
                    "change": variant.change, "kind": variant.kind, "topic": verdict.topic,
                    "value": estimate.value if estimate else None,
                    "low": interval.low if interval else None,
                    "high": interval.high if interval else None,
                    "claim": verdict.claim, "flips": verdict.topic in variant.flipped,
                    "reason": variant.reason,
                })  # fmt: skip
            if not variant.verdicts:
                rows.append({"change": variant.change, "kind": variant.kind, "flips": False,
                             "reason": variant.reason})  # fmt: skip
        return pd.DataFrame(rows)


def sensitivity(
    table: Table,
    judge: Judge,
    baseline: Sequence[Verdict],
    *,
    conventions: dict[str, Sequence[str]] | None = None,
    estimators: Sequence[Objective] = ESTIMATORS,
    max_restored: int = MAX_RESTORED,
) -> SensitivityResult:
    """Judges `table` again after each change.

    Args:
        judge: table, estimator ("huber", "l1" or "ls") -> verdicts with the baseline's topics.
        baseline: the verdicts as published, by the first estimator.
        conventions: role -> columns that may play it; those that the table lacks are skipped.
        max_restored: excluded runs that are put back, one at a time.
    """
    variants = []
    changes, flags = _changes(table, conventions or CONVENTIONS, estimators, max_restored)
    for change, kind, changed, estimator in changes:
        try:
            verdicts = tuple(judge(changed, estimator))
            reason = ""
        except AnalysisError as error:
            verdicts, reason = (), str(error)
        claims = {v.topic: v.claim for v in verdicts}
        flipped = tuple(v.topic for v in baseline if claims.get(v.topic, v.claim) != v.claim)
        variants.append(Variant(
            change=change, kind=kind, verdicts=verdicts, flipped=flipped, reason=reason
        ))  # fmt: skip
    stable = {v.topic: not any(v.topic in x.flipped for x in variants) for v in baseline}
    return SensitivityResult(
        baseline=tuple(baseline), variants=tuple(variants), stable=stable,
        sentences=tuple(_sentence(v, variants) for v in baseline), flags=tuple(flags),
    )  # fmt: skip


def sensitivity_of_comparison(
    table: Table, baseline: Comparison, *, n_boot: int = 200
) -> SensitivityResult:
    """Every verdict of a comparison again; approaches that carry no verdict are left out."""
    carrying = {verdict.approach for verdict in baseline.verdicts}
    laws = [law for law in _laws_of(baseline) if law_name(law) in carrying]
    methods = [method for method in PROFILE_METHODS if profile_name(method) in carrying]

    def judge(changed: Table, estimator: Objective) -> Sequence[Verdict]:
        # A joint fit is least squares, whatever the estimator.
        with_joint = baseline.joint is not None and estimator == ESTIMATORS[0]
        return _all_verdicts(compare(
            changed, baseline.by, reference=baseline.reference, laws=laws, methods=methods,
            with_envelope=ENVELOPE in carrying, with_joint=with_joint, objective=estimator,
            n_boot=n_boot, seed=baseline.seed,
        ))  # fmt: skip

    return sensitivity(table, judge, _all_verdicts(baseline))


def _all_verdicts(comparison: Comparison) -> list[Verdict]:
    """The verdicts, and what the joint fit says as one more."""
    joint = comparison.joint
    if joint is None:
        return list(comparison.verdicts)
    shared = Verdict(
        topic="parameters that the groups do not share", sentence=joint.sentence,
        claim="" if joint.chosen == joint.levels[0].name else joint.chosen,
        estimate=None, approach="joint fit",
    )  # fmt: skip
    return [*comparison.verdicts, shared]


def _laws_of(baseline: Comparison) -> list[str]:
    from analysis.laws import LAWS

    arm = next(iter(baseline.arms.values()))
    return [law for law in LAWS if arm.named(law_name(law)) is not None]


def _changes(
    table: Table,
    conventions: dict[str, Sequence[str]],
    estimators: Sequence[Objective],
    max_restored: int,
) -> tuple[list[tuple[str, str, Table, Objective]], list[Flag]]:
    """What is changed, its kind, and the table and estimator to judge by."""
    first, *other_estimators = estimators
    changes: list[tuple[str, str, Table, Objective]] = [
        (f"{role.upper()} = {column}", "convention", table.with_columns(**{role: column}), first)
        for role, column in _other_columns(table, conventions)
    ]
    changes += [(f"estimator {name}", "estimator", table, name) for name in other_estimators]
    restorable = list(_restorable(table))
    changes += [
        (f"with run {name}", "excluded run", restored, first)
        for name, restored in restorable[:max_restored]
    ]
    flags = []
    left = len(restorable) - max_restored
    if left > 0:
        flags.append(Flag(
            code="not_all_restored", severity="note",
            message=f"{left} of {len(restorable)} excluded runs were not put back",
        ))  # fmt: skip
    return changes, flags


def _other_columns(
    table: Table, conventions: dict[str, Sequence[str]]
) -> Iterator[tuple[str, str]]:
    for role, columns in conventions.items():
        current = table.values(role)
        for column in columns:
            if column == table.columns[role] or column not in table.frame:
                continue
            # A convention that gives the same numbers is no other convention.
            other = table.values(column)
            if np.isfinite(other).all() and not np.allclose(other, current, rtol=1e-9):
                yield role, column


def _restorable(table: Table) -> Iterator[tuple[str, Table]]:
    """Excluded runs that have all values, each put back by itself."""
    for index in range(len(table.excluded)):
        row = table.excluded.iloc[index]
        if str(row["reason"]).startswith("duplicate"):
            continue
        try:
            yield str(row["run_id"]), table.restore(index)
        except AnalysisError:
            continue


def _sentence(verdict: Verdict, variants: Sequence[Variant]) -> str:
    judged = [x for x in variants if any(v.topic == verdict.topic for v in x.verdicts)]
    flips = [x.change for x in judged if verdict.topic in x.flipped]
    if not judged:
        return f"{verdict.topic}: the table allows no other choice to check it by"
    if not flips:
        return f"{verdict.topic}: the verdict is the same under {len(judged)} other choices"
    listed = ", ".join(flips[:4]) + (", ..." if len(flips) > 4 else "")
    return f"{verdict.topic}: the verdict flips with {listed} ({len(flips)} of {len(judged)})"
