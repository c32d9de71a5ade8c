"""Sensitivity: each verdict again under every convention, estimator and excluded run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.agreement import ENVELOPE, PROFILE_METHODS, law_name, profile_name
from analysis.choices import (
    CONVENTIONS,
    ESTIMATORS,
    EXCLUDED_RUN,
    MAX_RESTORED,
    other_choices,
)
from analysis.compare_groups import compare
from analysis.comparison import Comparison
from analysis.difference import Verdict
from analysis.errors import AnalysisError
from analysis.fit import Objective
from analysis.laws import LAWS
from analysis.shared_fits import SharedFits
from analysis.style import number
from analysis.table import Table
from analysis.values import Flag

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
    conventions: Mapping[str, Sequence[str]] | None = None,
    estimators: Sequence[Objective] = ESTIMATORS,
    max_restored: int = MAX_RESTORED,
) -> SensitivityResult:
    """Judges `table` again after each change.

    Args:
        judge: table, estimator ("huber", "l1" or "ls") -> verdicts with the baseline's topics.
        baseline: the verdicts as published, by the first estimator.
        conventions, estimators, max_restored: see `analysis.choices.other_choices`.
    """
    choices, flags = other_choices(
        table, conventions=conventions or CONVENTIONS, estimators=estimators,
        max_restored=max_restored,
    )  # fmt: skip
    variants = []
    for choice in choices:
        try:
            verdicts = tuple(judge(choice.table, choice.estimator))
            reason = ""
        except AnalysisError as error:
            verdicts, reason = (), str(error)
        claims = {v.topic: v.claim for v in verdicts}
        flipped = tuple(v.topic for v in baseline if claims.get(v.topic, v.claim) != v.claim)
        variants.append(Variant(
            change=choice.change, kind=choice.kind, verdicts=verdicts, flipped=flipped,
            reason=reason,
        ))  # fmt: skip
    stable = {v.topic: not any(v.topic in x.flipped for x in variants) for v in baseline}
    return SensitivityResult(
        baseline=tuple(baseline), variants=tuple(variants), stable=stable,
        sentences=tuple(sensitivity_sentence(v, variants) for v in baseline), flags=tuple(flags),
    )  # fmt: skip


def sensitivity_of_comparison(
    table: Table, baseline: Comparison, *, n_boot: int = 200, fits: SharedFits | None = None
) -> SensitivityResult:
    """Every verdict of a comparison again, by all of its approaches.

    An approach that carries no verdict today may carry it under another choice.
    """
    fits = fits or SharedFits()
    arm = next(iter(baseline.arms.values()))
    laws = [law for law in LAWS if arm.named(law_name(law)) is not None]
    methods = [method for method in PROFILE_METHODS if arm.named(profile_name(method)) is not None]

    def judge(changed: Table, estimator: Objective) -> Sequence[Verdict]:
        # A joint fit is least squares, whatever the estimator.
        with_joint = baseline.joint is not None and estimator == ESTIMATORS[0]
        return _all_verdicts(compare(
            changed, baseline.by, reference=baseline.reference, laws=laws, methods=methods,
            with_envelope=arm.named(ENVELOPE) is not None, with_joint=with_joint,
            objective=estimator, n_boot=n_boot, seed=baseline.seed, fits=fits,
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


def sensitivity_sentence(verdict: Verdict, variants: Sequence[Variant]) -> str:
    """Whether the verdict holds under the other choices, and which of them flip it to what."""
    topic = verdict.topic
    judged = [(x, v) for x in variants for v in x.verdicts if v.topic == topic]
    failed = sum(not x.verdicts for x in variants)
    lost = f"; {failed} more could not be judged" if failed else ""
    if not judged:
        return f"{topic}: not checked, the table allows no other choice{lost}"
    flips: dict[str, list[str]] = {}
    for variant, found in judged:
        if topic in variant.flipped:
            flips.setdefault(found.claim, []).append(variant.change)
    tried = f"{len(judged)} other choices ({_kinds([x for x, _ in judged])}){lost}"
    values = [v.estimate.value for _, v in judged if v.estimate and np.isfinite(v.estimate.value)]
    spread = ""
    if len(values) > 1:
        spread = f"; its value runs from {number(min(values))} to {number(max(values))} over them"
    if flips:
        listed = "; ".join(
            f"to {_claimed(claim)} {_joined(changes)}" for claim, changes in flips.items()
        )
        count = sum(map(len, flips.values()))
        return f"{topic}: the verdict flips under {count} of {tried}: {listed}{spread}"
    if not verdict.is_established:
        return f"{topic}: not established, and none of {tried} establishes it{spread}"
    claim = f"{verdict.claim} {verdict.hedge}".strip()
    return f"{topic}: the verdict, {claim}, stands under each of {tried}{spread}"


def _claimed(claim: str) -> str:
    return claim or '"not established"'


def _joined(changes: Sequence[str]) -> str:
    """`with A, B`; changes that put a run back begin with the word themselves."""
    return "with " + ", ".join(change.removeprefix("with ") for change in changes)


def _kinds(variants: Sequence[Variant]) -> str:
    """How many of each kind, in words."""
    words = {"convention": "counts of N and C", "estimator": "estimators",
             EXCLUDED_RUN: "with excluded runs put back"}  # fmt: skip
    amounts = [(sum(x.kind == kind for x in variants), word) for kind, word in words.items()]
    return ", ".join(f"{amount} {word}" for amount, word in amounts if amount)
