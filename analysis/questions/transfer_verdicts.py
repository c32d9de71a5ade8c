"""What may be said of arms after fine-tuning: gains, baselines, levels and costs."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from analysis.difference import signed
from analysis.questions.answer import QuestionVerdict, judge
from analysis.questions.transfer_arms import CONVENTIONS, HEADLINE, Arm, n_seeds, seeds_behind
from analysis.questions.transfer_curve import CurveFit, difference_at, ratio_to_reach
from analysis.seeds import paired_difference, seed_mean
from analysis.style import flops

# Where between the untrained score and the lower of two arms' best the target lies.
TARGET_SHARE = 0.75


def pretraining_helps(arm: Arm, data: str) -> Iterator[QuestionVerdict]:
    """At the longest horizon against the untrained model, seed by seed of fine-tuning."""
    longest = arm.longest()
    with_it, without = by_fine_tuning(longest), by_fine_tuning(arm.untrained)
    effect = paired_difference(
        with_it, without, name=f"{longest['metric'].iloc[0]} with - without pre-training", unit=""
    )
    if effect is None:  # no seed has both
        return
    yield judge(
        f"pre-training helps {arm.name} on {data}", effect, n_seeds=len(with_it.keys() & without),
        basis=f"{seeds_behind(arm)}{flops(longest[HEADLINE].iloc[0])} FLOPs, paired by seed",
    )  # fmt: skip


def by_fine_tuning(rows: pd.DataFrame) -> dict[int, float]:
    return {int(str(seed)): float(part.mean()) for seed, part in rows.groupby("seed")["test"]}


def beats_baseline(arm: Arm, data: str, name: str, score: float) -> QuestionVerdict:
    longest = arm.longest()
    effect = seed_mean(
        (longest["test"] - score).tolist(),
        name=f"{longest['metric'].iloc[0]} above {name}",
        unit="",
    )
    return judge(
        f"{arm.name} beats the best simple baseline on {data}", effect, n_seeds=len(longest),
        basis=f"{seeds_behind(arm)}{flops(longest[HEADLINE].iloc[0])} FLOPs; "
        f"{name} has {score:.3f}",
    )  # fmt: skip


def compare(one: Arm, other: Arm, data: str) -> Iterator[QuestionVerdict]:
    """Which arm scores higher for as much pre-training, under each convention of "as much"."""
    if min(arm.trained[HEADLINE].nunique() for arm in (one, other)) < 2:
        return
    metric = one.trained["metric"].iloc[0]
    found = {}
    for abscissa in CONVENTIONS:
        most = min(float(arm.trained[abscissa].max()) for arm in (one, other))
        found[abscissa] = difference_at(
            one.fit(abscissa), other.fit(abscissa), most,
            name=f"{metric} of {one.name} - {other.name}",
        )  # fmt: skip
    headline = found[HEADLINE]
    above = headline.value > 0
    better, worse = (one, other) if above else (other, one)
    claim = f"{better.name} scores higher than {worse.name} on {data}, pre-trained as much"
    verdicts = {
        abscissa: judge(claim, estimate, n_seeds=n_seeds(one, other), above=above)
        for abscissa, estimate in found.items()
    }
    established = verdicts[HEADLINE].is_established
    flips = [
        CONVENTIONS[abscissa]
        for abscissa, verdict in verdicts.items()
        if verdict.is_established != established
    ]
    most = min(float(arm.trained[HEADLINE].max()) for arm in (one, other))
    yield judge(
        claim, headline, n_seeds=n_seeds(one, other), above=above, flips=flips,
        basis=f"{seeds_behind(one, other)}curves at {flops(most)} exact FLOPs, "
        "bootstrap over seeds",
    )  # fmt: skip


def cheaper(one: Arm, other: Arm, data: str) -> Iterator[QuestionVerdict]:
    """Which arm reaches the common target with less pre-training, under each convention."""
    target = _common_target(one, other)
    if target is None:
        return
    found = {}
    for abscissa in CONVENTIONS:
        fits = one.fit(abscissa), other.fit(abscissa)
        ratio, _ = ratio_to_reach(*fits, target, name=f"log10 of {one.name} / {other.name}")
        if ratio is not None:
            found[abscissa] = ratio
    if HEADLINE not in found:
        return
    above = found[HEADLINE].value > 0
    less, more = (other, one) if above else (one, other)
    metric = one.trained["metric"].iloc[0]
    claim = f"{less.name} reaches {metric} {target:.3f} on {data} with less than {more.name}"
    n = n_seeds(one, other)
    verdicts = {
        abscissa: judge(claim, ratio, n_seeds=n, above=above) for abscissa, ratio in found.items()
    }
    flips = [
        f"{CONVENTIONS[abscissa]} ({signed(found[abscissa])})"
        for abscissa, verdict in verdicts.items()
        if verdict.is_established != verdicts[HEADLINE].is_established
        or (found[abscissa].value > 0) != above
    ]
    yield judge(
        claim, found[HEADLINE], n_seeds=n, above=above, flips=flips,
        basis=f"{seeds_behind(one, other)}pre-training in exact FLOPs, bootstrap over seeds",
    )  # fmt: skip


def _common_target(one: Arm, other: Arm) -> float | None:
    """The score at `TARGET_SHARE` of what both arms gain; None where they gain nothing."""
    if min(arm.trained[HEADLINE].nunique() for arm in (one, other)) < 2:
        return None
    untrained = [float(a.untrained["test"].mean()) for a in (one, other) if len(a.untrained)]
    reached = min(float(a.trained.groupby(HEADLINE)["test"].mean().max()) for a in (one, other))
    start = max(untrained, default=0.0)
    return start + TARGET_SHARE * (reached - start) if reached > start else None


def crossings(
    one: Arm, other: Arm, trivial: tuple[str, float] | None
) -> Iterator[dict[str, object]]:
    """What each arm needs to reach a score, under each convention, and the ratio."""
    if min(arm.trained[HEADLINE].nunique() for arm in (one, other)) < 2:
        return
    targets = []
    if (common := _common_target(one, other)) is not None:
        targets.append(("three quarters of what both arms gain", common))
    if trivial is not None:
        targets.append((f"the baseline {trivial[0]}", trivial[1]))
    for abscissa, convention in CONVENTIONS.items():
        fits = one.fit(abscissa), other.fit(abscissa)
        for what, target in targets:
            yield _crossing(one, other, fits, what, target) | {"convention": convention}


def _crossing(
    one: Arm, other: Arm, fits: tuple[CurveFit, CurveFit], what: str, target: float
) -> dict[str, object]:
    ratio, share = ratio_to_reach(*fits, target, name=f"log10 {one.name} / {other.name}")
    box = ratio.interval if ratio is not None else None
    needs = [fit.curve.reaches(target) for fit in fits]
    missed = [
        f"{arm.name} has it at the least that was measured, {fit.curve.low:.3g}"
        if float(fit.curve(fit.curve.low)) >= target
        else f"not reached by {arm.name} up to {fit.curve.high:.3g}"
        for arm, fit, need in zip((one, other), fits, needs, strict=True)
        if need is None
    ]
    return {
        "masked": one.name, "causal": other.name, "target": what, "score": target,
        "masked_needs": needs[0], "causal_needs": needs[1],
        "ratio": 10**ratio.value if ratio is not None else None,
        "ratio_low": 10**box.low if box else None, "ratio_high": 10**box.high if box else None,
        "share_of_draws_both_reach": share, "remark": "; ".join(missed),
    }  # fmt: skip
