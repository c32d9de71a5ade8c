"""What may be concluded from a study and what may not, in plain sentences."""

from __future__ import annotations

import dataclasses
import math

from analysis.comparison import Comparison
from analysis.difference import Verdict, signed
from analysis.report.levels import level_lead
from analysis.report.sentences import sentence
from analysis.sensitivity import SensitivityResult
from analysis.study import Study
from analysis.style import count, flops, loss_label
from analysis.values import Flag


def lead(study: Study) -> list[str]:
    """The headline: who scales differently, and who is ahead where both may be compared."""
    if study.comparison is None:
        return [_single(study)]
    # A comparison gives one verdict per arm on exponents, then one per multiplier.
    others = [g for g in study.comparison.groups if g != study.comparison.reference]
    sentences = [
        _exponent_lead(
            verdict, group, study.comparison.reference, _nearest(study.comparison, group)
        )
        for group, verdict in zip(others, study.comparison.verdicts, strict=False)
    ]
    levels = next((x for x in (study.bits, study.comparison) if x and x.multipliers), None)
    if levels:
        on = loss_label(next(iter(levels.yardsticks.values()))).split(",")[0]
        sentences += [level_lead(found, on) for found in levels.multipliers.values()]
    return sentences


def _single(study: Study) -> str:
    arms = list(study.arms.values())
    if len(arms) > 1:
        return f"The arms are not compared: {study.missing.get('comparison', 'no reason given')}."
    headline = arms[0].agreement.headline
    if headline is None or headline.a is None:
        return f"No approach gives a sound exponent for {arms[0].name}; the report cards say why."
    box = headline.a.interval
    assert box is not None, "a sound approach has an interval"
    whose = f"{arms[0].name}: the" if study.table.groups else "the"
    return sentence(
        f"{whose} best size grows with compute to the power {headline.a.value:.3f} "
        f"[{box.low:.3f}, {box.high:.3f}] ({headline.name})"
    )


def _nearest(comparison: Comparison, group: str) -> str:
    """The first difference of a that could be computed, though doubtful."""
    known = [d for d in comparison.differences if d.group == group and d.estimate is not None]
    if not known:
        return ""
    assert known[0].estimate is not None
    return f"the {known[0].approach} gives {signed(known[0].estimate)}, in doubt"


def _exponent_lead(verdict: Verdict, group: str, reference: str, nearest: str) -> str:
    """Whether the best sizes of two arms grow at different rates."""
    if verdict.is_established:
        return sentence(f"The best size grows at different rates with compute. {verdict.sentence}")
    found = verdict.sentence.removeprefix("not established: ")
    if verdict.estimate is None:
        found = f"no approach is sound for both; {nearest}" if nearest else (
            "no approach gives an exponent for both"
        )  # fmt: skip
    return sentence(
        f"These runs do not establish that {group} and {reference} differ in how their best size "
        f"grows with compute: {found}"
    )


def can(study: Study) -> list[str]:
    """What the runs show beyond the headline."""
    found = []
    for comparison in (study.comparison, study.bits):
        if comparison and comparison.joint:
            on = "bits per byte" if comparison is study.bits else "the loss"
            found.append(f"joint fit on {on}: {comparison.joint.sentence}")
    for arm in study.arms.values():
        if arm.holdout:
            error = float(arm.holdout.ranking["error"].iloc[0])
            found.append(
                f"{arm.name}: fitted to its cheaper runs, the {arm.holdout.headline} law predicts "
                f"the dearer ones to {100 * error:.2g} % on average"
            )
    for checks, on in _checked(study):
        found += [f"{on}{text}" for v, text in zip(checks.baseline, checks.sentences, strict=True)
                  if v.is_established and checks.stable[v.topic]]  # fmt: skip
    return [sentence(text) for text in found]


def cannot(study: Study) -> list[str]:
    """Where the evidence ends."""
    missing = []
    if study.comparison and study.comparison.refusal:
        missing.append(f"levels of the losses are not compared: {study.comparison.refusal}")
    if study.bits is None and "bits" in study.missing:
        missing.append(f"no comparison in bits per byte: {study.missing['bits']}")
    for comparison, on in ((study.comparison, ""), (study.bits, "bits per byte, ")):
        if comparison:
            missing += [f"{on}{part}: {reason}" for part, reason in comparison.missing.items()]
    for checks, on in _checked(study):
        missing += [f"{on}{text}" for v, text in zip(checks.baseline, checks.sentences, strict=True)
                    if not v.is_established and checks.stable[v.topic]]  # fmt: skip
    missing += [_range(study), *_seeds(study)]
    return [sentence(text) for text in missing]


def _checked(study: Study) -> list[tuple[SensitivityResult, str]]:
    both = ((study.sensitivity, ""), (study.bits_sensitivity, "bits per byte, "))
    return [(checks, on) for checks, on in both if checks is not None]


def _range(study: Study) -> str:
    c, n = study.table.values("c"), study.table.values("n")
    decades = math.log10(c.max() / c.min())
    return (
        f"the runs span {decades:.1f} decades of compute ({flops(c.min())} to {flops(c.max())} "
        f"FLOPs) and models of {count(n.min())} to {count(n.max())} parameters; beyond them every "
        "number is an extrapolation"
    )


def _seeds(study: Study) -> list[str]:
    frame = study.table.frame
    if "seed" in frame and frame["seed"].nunique() > 1:
        return []
    return [
        "with one seed per cell the noise between seeds is not measured; intervals take it from "
        "the scatter about the fitted curves"
    ]


# Pairs of approaches that differ are many; they stand together under Checks.
PAIR_OF_APPROACHES = "approaches_disagree"


def verdict_flags(study: Study) -> tuple[Flag, ...]:
    """Warnings of the comparisons, but for the pairs of approaches."""
    return tuple(
        flag for flag in comparison_flags(study)
        if flag.severity != "note" and flag.code != PAIR_OF_APPROACHES
    )  # fmt: skip


def comparison_flags(study: Study) -> list[Flag]:
    """All flags of the comparisons; those on bits per byte say so."""
    flags = list(study.comparison.flags) if study.comparison else []
    if study.bits:
        flags += [
            dataclasses.replace(flag, message=f"bits per byte: {flag.message}")
            for flag in study.bits.flags
        ]
    return flags


def methods(study: Study) -> list[str]:
    """How each kind of number on the page was made."""
    table = study.table
    yardsticks = dict.fromkeys(loss_label(kind) for kind in table.loss_kinds)
    made = [
        f"N is {table.labels['n']} (column {table.columns['n']}); D is {table.labels['d']} "
        f"(column {table.columns['d']}); C is {table.labels['c']} (column {table.columns['c']})",
        f"losses: {'; '.join(yardsticks)}. One axis and one fit hold one of them",
        *table.notes,
        "only finished runs with finite values enter a fit; the tables of runs list the others "
        "with their reasons",
    ]
    fit = next((arm.fit for arm in study.arms.values() if arm.fit), None)
    if fit:
        made.append(
            f"loss surface: {fit.formula}, fitted to log loss by the sum of {fit.objective} "
            f"({fit.source}); of several intervals per number the widest is printed"
        )
    if any(arm.isoflop for arm in study.arms.values()):
        made.append(
            "isoFLOP exponents: the minimum of each budget's profile over log N, then a weighted "
            "line of log N* on log C; a minimum at an end of the sizes is refused"
        )
    if study.bits:
        made.append(
            "bits per byte: of the same held-out text; exact for causal models, an upper bound by "
            "the any-order bound for masked ones, marked ≤"
        )
    made.append(f"hold-out: {_holdout(study)}")
    return [sentence(text) for text in made]


def _holdout(study: Study) -> str:
    splits = [s for arm in study.arms.values() if arm.holdout for s in arm.holdout.splits]
    if not splits:
        return "not made; the section Checks says why"
    starts = dict.fromkeys(flops(s) for s in sorted(s.predicted_from_flops for s in splits))
    named = ", ".join(starts)
    return (
        f"laws are fitted to runs of at most half the FLOPs of the cut and predict the runs above "
        f"it; {'cuts' if len(starts) > 1 else 'one cut'} at {named} FLOPs"
    )
