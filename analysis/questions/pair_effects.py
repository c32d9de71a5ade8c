"""What the format of pairs, and each loss on them, does to masked language modelling."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import Any

from analysis.questions.answer import QuestionVerdict, judge
from analysis.questions.pair_view import PairStudy, Seeds
from analysis.seeds import paired_difference
from analysis.values import Estimate

# The arm with the change, the arm without it, what changes.
CHANGES: tuple[tuple[str, str, str], ...] = (
    ("mlm-pairs", "mlm", "the format of pairs"),
    ("mlm+nsp", "mlm-pairs", "next-sentence prediction"),
    ("mlm+nsp-same", "mlm-pairs", "next-sentence prediction within documents"),
    ("mlm+sop", "mlm-pairs", "sentence-order prediction"),
)


def effects_on_mlm(study: PairStudy) -> Iterator[QuestionVerdict]:
    """A verdict per change, by the code length of text."""
    for arm, reference, what in CHANGES:
        one, other = (study.by_seed(name, "bits_per_byte") for name in (arm, reference))
        name = f"bits per byte({arm}) - ({reference})"
        estimate = paired_difference(one, other, name=name, unit="bits per byte")
        if estimate is None:
            continue
        hurts = estimate.value > 0
        claim = f"{what} makes MLM {'worse' if hurts else 'better'} at equal tokens"
        trained_on = (
            "which only mlm was trained on: a change of what is read, and not of what is known"
            if reference == "mlm"
            else "which neither was trained on"
        )
        basis = f"paired seeds, upper bounds on windows, {trained_on}"
        n_seeds = len(one.keys() & other.keys())
        verdict = judge(claim, estimate, n_seeds=n_seeds, above=hurts, basis=basis)
        yield dataclasses.replace(verdict, flips=_flips(study, arm, reference, verdict))


def _flips(study: PairStudy, arm: str, reference: str, verdict: QuestionVerdict) -> tuple[str, ...]:
    """Conventions under which the verdict on bits per byte would be another."""
    sides: dict[str, tuple[Seeds, Seeds]] = {
        "equal FLOPs, by the slope of the reference's curve": (
            study.by_seed(arm, "bits_per_byte"),
            _at_flops_of(study, arm, reference),
        )
    }
    if study.yardstick(arm) == study.yardstick(reference):
        sides["MLM loss on the same pairs"] = (
            study.losses(arm, "mlm"),
            study.losses(reference, "mlm"),
        )
    assert verdict.estimate is not None
    above = verdict.estimate.value > 0
    flips = []
    for convention, (one, other) in sides.items():
        estimate: Estimate | None = paired_difference(one, other, name="", unit="")
        if estimate is None:
            continue
        again = judge("", estimate, n_seeds=verdict.n_seeds, above=above)
        if again.is_established != verdict.is_established:
            flips.append(convention)
    return tuple(flips)


def _at_flops_of(study: PairStudy, arm: str, reference: str) -> Seeds:
    """Bits per byte of the reference, had it been given as many FLOPs as the arm."""
    flops, reference_flops = (study.by_seed(name, "train_flops") for name in (arm, reference))
    bits = study.by_seed(reference, "bits_per_byte")
    runs = study.runs(reference)
    found = {}
    for seed in bits.keys() & flops.keys():
        slope = _relative_slope(runs[seed])
        found[seed] = bits[seed] * (1 + slope * math.log(flops[seed] / reference_flops[seed]))
    return found


def _relative_slope(run: Mapping[str, Any]) -> float:
    """d log(MLM loss) / d log(FLOPs) over the last octave of the curve."""
    points = [p for p in run["curve"] if p["split"] == "validation" and p["term"] == "mlm"]
    if len(points) < 2:
        return 0.0
    last = points[-1]
    before = [p for p in points if p["tokens"] <= last["tokens"] / 2] or points[:1]
    rise = math.log(last["nats_per_target"] / before[-1]["nats_per_target"])
    return rise / math.log(last["train_flops"] / before[-1]["train_flops"])
