"""Question 2: does GPT scale better than BERT, and what is the cause?

Between next-token prediction and masked language modelling stand arms that change one thing each.
All are judged on bits per byte of the same held-out text, so their levels may be compared; where
the language is generated its entropy is known, and what is left above it is the excess, whose
decline with compute has an exponent without any floor to be fitted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from analysis.difference import excludes
from analysis.errors import AnalysisError
from analysis.questions.answer import Answer, QuestionVerdict, judge
from analysis.questions.arm_ladder import (
    MATCHES,
    REFERENCE,
    STEPS,
    Gap,
    Multiple,
    entropy_of,
    frontier_points,
    gap,
    is_bound,
    multiples,
    plateau_notes,
    runs_frame,
    slopes,
)
from analysis.questions.exact_codes import code_verdicts, codes_frame, codes_table
from analysis.questions.q2_figures import levels_panel, multiples_panel, steps_panel
from analysis.questions.table import QuestionTable
from analysis.seeds import paired_difference, seed_mean
from analysis.style import flops
from analysis.values import Estimate

# Budgets are met to a batch.
_SLACK = 1.01

QUESTION = "Does GPT scale better than BERT, and what is the cause?"


def answer(table: QuestionTable) -> Answer:
    """Levels, multiples of compute and exponents of the arms of one study."""
    frame = runs_frame(table)
    if REFERENCE not in set(frame["arm"]) or frame["arm"].nunique() < 2:
        raise AnalysisError(
            f"{table.source} has no arm {REFERENCE!r} and another one to set against it; "
            "sweeps/q2_why_gpt_scales.yaml has them"
        )
    entropy = entropy_of(table)
    found = multiples(frame)
    codes = codes_frame(table, frame)
    verdicts = [
        *_levels(frame),
        *code_verdicts(codes, frame),
        *_steps(frame),
        *_multiples(frame, found),
        *_exponents(frame, entropy),
    ]
    return Answer(
        question=QUESTION,
        verdicts=tuple(verdicts),
        tables={
            "codes": codes_table(codes),
            "steps_by_match": _steps_table(frame),
            "multiples_of_compute": pd.DataFrame([_row(m) for m in found]),
        },
        figures={
            "levels": (levels_panel(frame, entropy), steps_panel(frame)),
            "multiples": (multiples_panel(found, list(dict.fromkeys(frame["arm"]))),),
        },
        notes=tuple(_notes(frame, entropy)),
        excluded=table.excluded,
    )


def _levels(frame: pd.DataFrame) -> list[QuestionVerdict]:
    """Who has the lower loss at the largest compute that both had."""
    verdicts = []
    for arm in _others(frame):
        gaps = {match: gap(frame, arm, REFERENCE, match) for match in MATCHES}
        main = gaps["exact FLOPs"]
        if main is None:
            continue
        estimate = main.estimate(f"bits per byte of {arm} less those of {REFERENCE}")
        verdicts.append(
            judge(
                f"{arm} needs more bits per byte than {REFERENCE}{_bounded(frame, arm)}", estimate,
                n_seeds=len(main.by_seed), flips=_flips(gaps, estimate, above=True),
                basis=f"at {flops(main.at)} FLOPs",
            )
        )  # fmt: skip
    return verdicts


def _bounded(frame: pd.DataFrame, arm: str) -> str:
    """What is said with a claim that an arm is behind, where its losses are upper bounds."""
    return " (by an upper bound: in truth by less, or not at all)" if is_bound(frame, arm) else ""


def _step_bounded(frame: pd.DataFrame, after: str, before: str) -> str:
    """A difference of two bounds bounds nothing; one less an exact loss bounds the cost."""
    if is_bound(frame, before):
        return " (of two bounds, which need not be equally tight)"
    return _bounded(frame, after)


def _steps(frame: pd.DataFrame) -> list[QuestionVerdict]:
    """What each change between GPT and BERT costs."""
    verdicts = []
    for what, after, before in STEPS:
        gaps = {match: gap(frame, after, before, match) for match in MATCHES}
        main = gaps["exact FLOPs"]
        if main is None:
            continue
        estimate = main.estimate(f"{after} less {before}")
        effect = "costs" if estimate.value > 0 else "saves"
        claim = f"the {what} {effect} bits per byte{_step_bounded(frame, after, before)}"
        verdicts.append(
            judge(
                claim, estimate, n_seeds=len(main.by_seed), above=estimate.value > 0,
                flips=_flips(gaps, estimate, above=estimate.value > 0),
                basis=f"at {flops(main.at)} FLOPs",
            )
        )  # fmt: skip
    return verdicts


def _flips(gaps: Mapping[str, Gap | None], main: Estimate, *, above: bool) -> list[str]:
    """Other things that arms may be matched by under which the verdict would be another."""
    flips = []
    for match, found in gaps.items():
        if found is None:
            continue
        other = found.estimate(match)
        on_its_side = (other.value > 0) == above
        if not on_its_side:
            flips.append(f"at equal {match} ({other.value:+.2f})")
        elif excludes(other, 0.0) != excludes(main, 0.0):
            said = "established" if excludes(other, 0.0) else "not established"
            flips.append(f"at equal {match} ({said}, {other.value:+.2f})")
    return flips


def _multiples(frame: pd.DataFrame, found: list[Multiple]) -> list[QuestionVerdict]:
    """R at the largest budget of each arm, and whether it changes with compute."""
    verdicts = []
    for arm in dict.fromkeys(m.arm for m in found):
        own = [m for m in found if m.arm == arm]
        largest = [max((m for m in own if m.seed == seed), key=lambda m: m.flops)
                   for seed in sorted({m.seed for m in own})]  # fmt: skip
        verdicts.append(_multiple(arm, largest, _bounded(frame, arm)))
        inside = pd.DataFrame([_row(m) for m in own if not m.bound])
        by_seed = slopes(inside, "flops", "multiple") if len(inside) else {}
        if by_seed:
            slope = seed_mean(list(by_seed.values()), name=f"d log R / d log C of {arm}", unit="")
            verdicts.append(
                judge(
                    f"{arm} {'falls behind' if slope.value > 0 else 'catches up'} with compute",
                    slope, n_seeds=len(by_seed), above=slope.value > 0,
                )
            )  # fmt: skip
    return verdicts


def _multiple(arm: str, largest: list[Multiple], bounded: str) -> QuestionVerdict:
    """R of an arm at its largest budget, one per seed."""
    at = f"at {flops(float(np.mean([m.flops for m in largest])))} FLOPs"
    if all(m.bound == "lower" for m in largest):
        least = min(m.value for m in largest)
        return QuestionVerdict(
            claim=f"{arm} needs more than {least:.2g} times the compute of {REFERENCE}{bounded}",
            estimate=None, is_established=len(largest) > 1, n_seeds=len(largest),
            basis=f"{at}; {REFERENCE} is better already with the least that it had, in each seed",
        )  # fmt: skip
    estimate = seed_mean(
        [math.log10(m.value) for m in largest], unit="",
        name=f"log10 of the compute of {arm} over that of {REFERENCE} at equal bits per byte",
    )  # fmt: skip
    n_bounds = sum(bool(m.bound) for m in largest)
    known = f", of {n_bounds} only a bound is known" if n_bounds else ""
    return judge(
        f"{arm} needs {'more' if estimate.value > 0 else 'less'} compute than {REFERENCE}"
        f"{bounded}",
        estimate, n_seeds=len(largest), above=estimate.value > 0, basis=at + known,
    )  # fmt: skip


def _exponents(frame: pd.DataFrame, entropy: float | None) -> list[QuestionVerdict]:
    """Whether the excess of an arm over the entropy falls with another exponent."""
    if entropy is None:
        return []
    ladder = frontier_points(frame)
    ladder = ladder.assign(excess=ladder["loss"] - entropy)
    ladder = ladder[ladder["excess"] > 0]
    verdicts = []
    for arm in _others(frame):
        own, reference = (ladder[ladder["arm"] == name] for name in (arm, REFERENCE))
        # Exponents drift along the ladder, so both are taken over the budgets that the arm has.
        budgets = reference["compute"].between(
            own["compute"].min() / _SLACK, own["compute"].max() * _SLACK
        )
        by_seed, of_reference = (
            {seed: -slope for seed, slope in slopes(part, "compute", "excess").items()}
            for part in (own, reference[budgets])
        )
        estimate = paired_difference(
            by_seed, of_reference, name=f"exponent of the excess over C, {arm} less {REFERENCE}",
            unit="",
        )  # fmt: skip
        if estimate is None:
            continue
        lower = estimate.value < 0
        verdicts.append(
            judge(
                f"{arm} scales with the {'smaller' if lower else 'larger'} exponent", estimate,
                n_seeds=len(by_seed.keys() & of_reference.keys()), above=not lower,
            )
        )  # fmt: skip
    return verdicts


def _others(frame: pd.DataFrame) -> list[str]:
    return [arm for arm in dict.fromkeys(frame["arm"]) if arm != REFERENCE]


def _row(m: Multiple) -> dict[str, Any]:
    return {"arm": m.arm, "seed": m.seed, "flops": m.flops, "multiple": m.value, "bound": m.bound}


def _steps_table(frame: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for what, after, before in STEPS:
        for match in MATCHES:
            found = gap(frame, after, before, match)
            by_seed: Mapping[int, float] = found.by_seed if found else {}
            rows.append({
                "change": what, "after": after, "before": before, "matched by": match,
                "at": found.at if found else None, "seeds": len(by_seed),
                "bits per byte": float(np.mean(list(by_seed.values()))) if by_seed else None,
            })  # fmt: skip
    return pd.DataFrame(rows)


def _notes(frame: pd.DataFrame, entropy: float | None) -> list[str]:
    notes = [
        "bits per byte of arms that predict hidden tokens are upper bounds (any-order), which a "
        "model trained for next tokens does not have to its charge",
    ]
    if entropy is None:
        notes.append("the entropy of this text is not known, so no excess and no exponent of it")
    else:
        notes.append(f"the entropy of the language is {entropy:.3f} bits per byte")
    notes += plateau_notes(frame)
    for what, after, before in STEPS:
        missing = [match for match in MATCHES if gap(frame, after, before, match) is None]
        if missing:
            notes.append(f"{what}: no runs to compare at equal {', '.join(missing)}")
    return notes
