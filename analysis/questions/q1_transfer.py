"""Question 1: why BERT was used so much first. What pre-training buys in fine-tuned tasks.

Each arm is fine-tuned on tasks with labels after more and more pre-training. Learning rates are
chosen on validation, per model and setting; everything else here is test.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from analysis.questions.answer import Answer, QuestionVerdict
from analysis.questions.table import QuestionTable
from analysis.questions.transfer_arms import HEADLINE, arms_of, pairs
from analysis.questions.transfer_figures import curve_panels, label_panels
from analysis.questions.transfer_scores import (
    ABSCISSAE,
    baselines,
    chosen,
    main_setting,
    read_scores,
    summary,
)
from analysis.questions.transfer_verdicts import (
    beats_baseline,
    cheaper,
    compare,
    crossings,
    pretraining_helps,
)

QUESTION = "Why was BERT used so much first? What pre-training buys in fine-tuned tasks, and costs"

_NOTES = (
    "the learning rate of each model and setting is chosen on validation; scores are of test",
    "the curve is untrained + gain C^k / (C^k + half^k), at most 1, fitted to all seeds; its "
    "intervals resample the seeds of fine-tuning, and of pre-training where there are several",
)


def answer(table: QuestionTable) -> Answer:
    """What the fine-tunings of a study say."""
    scores = read_scores(table)
    best = chosen(scores.rows)
    main = main_setting(best)
    verdicts: list[QuestionVerdict] = []
    crossed = []
    for (task, data), rows in main.groupby(["task", "data"], sort=True):
        arms = arms_of(rows)
        trivial = _best_baseline(rows)
        for arm in arms:
            verdicts += pretraining_helps(arm, str(data))
            if trivial is not None:
                verdicts.append(beats_baseline(arm, str(data), *trivial))
        for one, other in pairs(arms):
            verdicts += compare(one, other, str(data))
            verdicts += cheaper(one, other, str(data))
            crossed += [
                {"task": task, "data": data} | row for row in crossings(one, other, trivial)
            ]
    tables = {
        "q1-scores": summary(best),
        "q1-baselines": baselines(scores.rows),
        "q1-flops-to-target": pd.DataFrame(crossed),
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


def _best_baseline(rows: pd.DataFrame) -> tuple[str, float] | None:
    found = baselines(rows)
    if not len(found):
        return None
    best = found.iloc[int(found["test"].argmax())]
    return str(best["baseline"]), float(best["test"])


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
        yield (
            "one seed of pre-training: the intervals hold the spread of fine-tuning alone, and of "
            "two arms nothing is established beyond this one pair of runs"
        )
    if best["seed"].nunique() < 5:
        yield (
            "a bootstrap over few seeds is too narrow: of the mean of three normal draws an "
            "interval called 95% covers the truth in 74% of cases"
        )
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
