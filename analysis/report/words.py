"""What may be concluded from a study and what may not, in plain sentences."""

from __future__ import annotations

import dataclasses
import math
import re

import numpy as np

from analysis.difference import Verdict
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
        _exponent_lead(verdict, group, study.comparison.reference)
        for group, verdict in zip(others, study.comparison.verdicts, strict=False)
    ]
    levels = next((x for x in (study.bits, study.comparison) if x and x.multipliers), None)
    if levels:
        on = loss_label(next(iter(levels.yardsticks.values()))).split(",")[0]
        sentences += [_level_lead(v, on) for v in levels.verdicts[-len(levels.multipliers) :]]
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
    return _sentence(
        f"{whose} best size grows with compute to the power {headline.a.value:.3f} "
        f"[{box.low:.3f}, {box.high:.3f}] ({headline.name})"
    )


def _exponent_lead(verdict: Verdict, group: str, reference: str) -> str:
    """Whether the best sizes of two arms grow at different rates."""
    if verdict.is_established:
        return _sentence(f"The best size grows at different rates with compute. {verdict.sentence}")
    found = verdict.sentence.removeprefix("not established: ")
    if verdict.estimate is None:
        found = "no approach gives a sound exponent for both; the section Checks says why"
    return _sentence(
        f"These runs do not establish that {group} and {reference} differ in how their best size "
        f"grows with compute: {found}"
    )


def _level_lead(verdict: Verdict, on: str) -> str:
    """Who needs less compute, on the one yardstick of all arms."""
    found = verdict.sentence.removeprefix("not established: ")
    box = verdict.estimate.interval if verdict.estimate else None
    if box and not (box.low > 0 and math.isfinite(box.high)):
        return (
            f"On {on}, the yardstick that they share, the fits do not tell how much more compute "
            "either needs for the same loss: the interval of the factor has no end."
        )
    if verdict.is_established:
        return _sentence(f"On {on}, the yardstick that they share: {found}")
    return _sentence(f"On {on}, the shared yardstick, neither is shown to lead: {found}")


def _sentence(text: str) -> str:
    """A sentence with a full stop, and numbers as they stand elsewhere on the page."""
    text = re.sub(r"\b\d(?:\.\d+)?e[+-]?\d+\b", lambda found: flops(float(found[0])), text)
    text = re.sub(r"(?<=[\s\[(])-(?=[\d\s])", "−", text.rstrip("."))
    first = text.split(maxsplit=1)[0]
    # Names of arms, columns and quantities stay as they are: `a(decoder)`, `gpt:`.
    is_word = first.isalpha() and first.islower() and not text.startswith("a ")
    return f"{text[0].upper() if is_word else text[0]}{text[1:]}."


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
    if study.sensitivity:
        found += list(study.sensitivity.sentences)
    return [_sentence(text) for text in found]


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
    missing += [_range(study), *_seeds(study)]
    return [_sentence(text) for text in missing]


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
    return [_sentence(text) for text in made]


def _holdout(study: Study) -> str:
    splits = [s for arm in study.arms.values() if arm.holdout for s in arm.holdout.splits]
    if not splits:
        return "not made; the section Checks says why"
    starts = np.array([split.predicted_from_flops for split in splits])
    return (
        f"laws are fitted to runs of at most half the FLOPs of the cut and predict the runs above "
        f"it; cuts from {flops(starts.min())} to {flops(starts.max())} FLOPs"
    )
