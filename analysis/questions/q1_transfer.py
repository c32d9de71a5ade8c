"""Question 1: why BERT was used so much first. What pre-training buys in fine-tuned tasks.

Each arm is fine-tuned on tasks with labels after more and more pre-training. Learning rates are
chosen on validation, per model and setting; everything else here is test.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.questions.answer import Answer, QuestionVerdict, judge
from analysis.questions.table import QuestionTable
from analysis.questions.transfer_curve import (
    CurveFit,
    difference_at,
    fit_curve,
    ratio_to_reach,
)
from analysis.questions.transfer_figures import curve_panels, label_panels
from analysis.questions.transfer_scores import (
    ABSCISSAE,
    baselines,
    by_seed,
    chosen,
    main_setting,
    read_scores,
    summary,
)
from analysis.seeds import paired_difference, seed_mean
from analysis.style import flops

QUESTION = "Why was BERT used so much first? What pre-training buys in fine-tuned tasks, and costs"

CONVENTIONS = {
    "train_flops": "exact FLOPs",
    "train_flops_6nd": "6 N D",
    "tokens_seen": "tokens",
    "tokens_predicted": "predicted tokens",
}
HEADLINE = "train_flops"

# Where between the untrained score and the lower of two arms' best the target lies.
TARGET_SHARE = 0.75

_NOTES = (
    "the learning rate of each model and setting is chosen on validation; scores are of test",
    "the curve is untrained + gain C^k / (C^k + half^k), at most 1, fitted to all seeds; its "
    "intervals resample the seeds of fine-tuning, and of pre-training where there are several",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Arm:
    """One arm on one data set, in the main setting."""

    name: str
    is_masked: bool
    trained: pd.DataFrame
    untrained: pd.DataFrame

    def longest(self) -> pd.DataFrame:
        """The fine-tunings of the run with most FLOPs."""
        is_longest = self.trained[HEADLINE] == self.trained[HEADLINE].max()
        longest: pd.DataFrame = self.trained.loc[is_longest]
        return longest

    def fit(self, abscissa: str) -> CurveFit:
        return fit_curve(self.trained, self.untrained["test"].to_numpy(float), abscissa)


def answer(table: QuestionTable) -> Answer:
    """What the fine-tunings of a study say."""
    scores = read_scores(table)
    best = chosen(scores.rows)
    main = main_setting(best)
    verdicts: list[QuestionVerdict] = []
    crossings = []
    for (task, data), rows in main.groupby(["task", "data"], sort=True):
        arms = _arms(rows)
        trivial = _best_baseline(rows)
        for arm in arms:
            verdicts += _pretraining_helps(arm, str(data))
            if trivial is not None:
                verdicts.append(_beats_baseline(arm, str(data), *trivial))
        for one, other in _pairs(arms):
            verdicts += _compare(one, other, str(data))
            crossings += [
                {"task": task, "data": data} | row for row in _crossings(one, other, trivial)
            ]
    tables = {
        "q1-scores": summary(best),
        "q1-baselines": baselines(scores.rows),
        "q1-flops-to-target": pd.DataFrame(crossings),
        "q1-mask-and-pooler": _mask_and_pooler(best),
    }
    figures = {"q1-score-over-flops": tuple(curve_panels(main, baselines(main)))}
    if labels := tuple(label_panels(_label_efficiency(best), baselines(scores.rows))):
        figures["q1-label-efficiency"] = labels
    return Answer(
        question=QUESTION,
        verdicts=tuple(verdicts),
        tables={name: frame for name, frame in tables.items() if len(frame)},
        figures=figures,
        notes=_NOTES + tuple(_limits(best)),
        excluded=dict(table.excluded) | scores.excluded,
    )


def _arms(rows: pd.DataFrame) -> list[Arm]:
    arms = []
    for name, part in rows.groupby("arm", sort=True):
        trained = part[part["train_tokens"] > 0]
        if len(trained):
            arms.append(
                Arm(
                    name=str(name),
                    is_masked=str(part["objective"].iloc[0]).startswith("mlm"),
                    trained=_without_dominated_sizes(trained),
                    untrained=part[part["train_tokens"] == 0],
                )
            )
    return arms


def _without_dominated_sizes(trained: pd.DataFrame) -> pd.DataFrame:
    """Drops the runs of a size where another size does better on validation for no more FLOPs."""
    runs = trained.groupby(["size", HEADLINE])["validation"].mean().reset_index()
    kept = [
        not ((runs["size"] != run["size"]) & (runs[HEADLINE] <= run[HEADLINE])
             & (runs["validation"] > run["validation"])).any()
        for _, run in runs.iterrows()
    ]  # fmt: skip
    good = set(zip(runs["size"][kept], runs[HEADLINE][kept], strict=True))
    is_good = [key in good for key in zip(trained["size"], trained[HEADLINE], strict=True)]
    return trained[is_good]


def _pairs(arms: Sequence[Arm]) -> Iterator[tuple[Arm, Arm]]:
    """Each masked arm with each causal one."""
    for one in arms:
        for other in arms:
            if one.is_masked and not other.is_masked:
                yield one, other


def _pretraining_helps(arm: Arm, data: str) -> Iterator[QuestionVerdict]:
    """At the longest horizon against the untrained model, seed by seed of fine-tuning."""
    longest = arm.longest()
    if not len(arm.untrained):
        return
    trained, untrained = _by_fine_tuning(longest), _by_fine_tuning(arm.untrained)
    effect = paired_difference(
        trained, untrained, unit="",
        name=f"{longest['metric'].iloc[0]} with - without pre-training",
    )  # fmt: skip
    if effect is None:
        return
    n_seeds = len(trained.keys() & untrained.keys())
    yield judge(
        f"pre-training helps {arm.name} on {data}", effect, n_seeds=n_seeds,
        basis=f"{flops(longest[HEADLINE].iloc[0])} FLOPs, paired by seed",
    )  # fmt: skip


def _by_fine_tuning(rows: pd.DataFrame) -> dict[int, float]:
    return {int(str(seed)): float(part.mean()) for seed, part in rows.groupby("seed")["test"]}


def _best_baseline(rows: pd.DataFrame) -> tuple[str, float] | None:
    found = baselines(rows)
    if not len(found):
        return None
    best = found.iloc[int(found["test"].argmax())]
    return str(best["baseline"]), float(best["test"])


def _beats_baseline(arm: Arm, data: str, name: str, score: float) -> QuestionVerdict:
    longest = arm.longest()
    effect = seed_mean(
        (longest["test"] - score).tolist(),
        name=f"{longest['metric'].iloc[0]} above {name}",
        unit="",
    )
    return judge(
        f"{arm.name} beats the best simple baseline on {data}", effect, n_seeds=len(longest),
        basis=f"{flops(longest[HEADLINE].iloc[0])} FLOPs; {name} has {score:.3f}",
    )  # fmt: skip


def _compare(one: Arm, other: Arm, data: str) -> Iterator[QuestionVerdict]:
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
        abscissa: judge(claim, estimate, n_seeds=_n_seeds(one, other), above=above)
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
        claim, headline, n_seeds=_n_seeds(one, other), above=above, flips=flips,
        basis=f"curves at {flops(most)} exact FLOPs, bootstrap over seeds",
    )  # fmt: skip


def _crossings(
    one: Arm, other: Arm, trivial: tuple[str, float] | None
) -> Iterator[dict[str, object]]:
    """What each arm needs to reach a score, under each convention, and the ratio."""
    if min(arm.trained[HEADLINE].nunique() for arm in (one, other)) < 2:
        return
    untrained = [float(a.untrained["test"].mean()) for a in (one, other) if len(a.untrained)]
    reached = min(float(a.trained.groupby(HEADLINE)["test"].mean().max()) for a in (one, other))
    start = max(untrained, default=0.0)
    targets = []
    if reached > start:
        targets.append(
            ("three quarters of what both arms gain", start + TARGET_SHARE * (reached - start))
        )
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


def _n_seeds(one: Arm, other: Arm) -> int:
    return min(len(by_seed(arm.longest())) for arm in (one, other))


def _mask_and_pooler(best: pd.DataFrame) -> pd.DataFrame:
    """The crossed settings of the longest runs, where more than one was measured."""
    parts = []
    for _, rows in best.groupby(["task", "data", "arm"], sort=True):
        longest = rows[rows[HEADLINE] == rows[HEADLINE].max()]
        if longest.groupby(["mask", "pooler"]).ngroups > 1:
            parts.append(longest)
    if not parts:
        return pd.DataFrame()
    found = summary(pd.concat(parts, ignore_index=True))
    return found.drop(columns=list(ABSCISSAE[1:]))


def _label_efficiency(best: pd.DataFrame) -> pd.DataFrame:
    """The longest and the untrained run of each arm, where the number of examples was varied."""
    plain = best[(best["mask"] == "pretrained") & ~best["freeze"].astype(bool)]
    parts = []
    for _, rows in plain.groupby(["task", "data", "arm", "pooler"], sort=True):
        ends = rows[rows[HEADLINE].isin([0.0, rows[HEADLINE].max()])]
        if ends["train_examples"].nunique() > 1:
            parts.append(ends)
    return pd.concat(parts, ignore_index=True) if parts else plain.iloc[:0]


def _limits(best: pd.DataFrame) -> Iterator[str]:
    """What a reader must know of this study."""
    if best["pretraining_seed"].nunique() < 2:
        yield "one seed of pre-training: the intervals hold the spread of fine-tuning alone"
    tried = int(best["rates_tried"].min())
    if tried < 3:
        yield f"some settings were tuned over {tried} learning rate{'s' if tried > 1 else ''} only"
    models = best.groupby(["arm", "data", "train_tokens", "mask", "pooler", "train_examples"])
    edges = models["is_edge"].first()
    if edges.any():
        yield (
            f"the best learning rate lies on the edge of those tried in {int(edges.sum())} of "
            f"{len(edges)} settings"
        )
    unfit = {
        str(data): float(np.mean(part["examples_too_long.test"]))
        for data, part in best.groupby("data")
    }
    for data, count in unfit.items():
        if count:
            policy = best.loc[best["data"] == data, "too_long"].iloc[0]
            said = "left out" if policy == "drop" else "cut at their end"
            yield f"{data}: {count:.0f} test examples do not fit the sequence and are {said}"
