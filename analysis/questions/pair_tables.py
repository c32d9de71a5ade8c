"""The tables of question 4: accuracies on pairs, losses and gradients, means over seeds."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from analysis.questions.pair_view import TASKS, PairStudy, Seeds, by_seed
from analysis.seeds import seed_mean

READINGS = {
    "head": "head.accuracy",
    "tfidf": "tfidf.accuracy",
    "unigram_overlap": "unigram_overlap.accuracy",
    "probe_cls": "probe.cls.accuracy",
    "probe_mean": "probe.mean.accuracy",
    "optimum": "optimum.accuracy",
    "optimum_topic": "optimum.topic_accuracy",
}
# What an untrained model is read by; all others do not depend on the weights.
_OF_UNTRAINED = ("probe_cls", "probe_mean")


def accuracy_table(study: PairStudy) -> pd.DataFrame:
    """Mean accuracy over seeds with its interval, by arm, task and classifier.

    An untrained model stands under the name of its arm with `, untrained`.
    """
    rows = []
    for frame, suffix, readings in (
        (study.trained, "", tuple(READINGS)),
        (study.untrained, ", untrained", _OF_UNTRAINED),
    ):
        for arm in dict.fromkeys(frame["arm"]):
            for task in TASKS:
                for reading in readings:
                    values = by_seed(frame, arm, f"tasks.{task}.{READINGS[reading]}")
                    if values:
                        named = {"arm": f"{arm}{suffix}", "task": task, "reading": reading}
                        rows.append(named | _row(values, "accuracy"))
    return pd.DataFrame(rows)


def loss_table(study: PairStudy) -> pd.DataFrame:
    """Bits per byte of text and losses in nats, by arm, means over seeds."""
    rows = []
    for arm in study.arms:
        readings = {"bits_per_byte": study.by_seed(arm, "bits_per_byte")}
        readings |= {f"{term}_nats": study.losses(arm, term) for term in ("mlm", "nsp", "sop")}
        for reading, values in readings.items():
            if values:
                rows.append({"arm": arm, "reading": reading} | _row(values, reading))
    return pd.DataFrame(rows)


def gradient_table(study: PairStudy) -> pd.DataFrame:
    """Cosine of the gradients of both losses by arm and group of parameters."""
    prefix, suffix = "gradients.groups.", ".cosine"
    columns = map(str, study.trained.columns)
    names = [name for name in columns if name.startswith(prefix) and name.endswith(suffix)]
    rows = [
        {"arm": arm, "group": name[len(prefix) : -len(suffix)]} | _row(values, "cosine")
        for arm in study.arms
        for name in names
        if (values := study.by_seed(arm, name))
    ]
    return pd.DataFrame(rows, columns=["arm", "group", "mean", "low", "high", "seeds"])


def _row(values: Seeds, name: str) -> dict[str, Any]:
    estimate = seed_mean(list(values.values()), name=name, unit="")
    # What is the same for every seed, such as word overlap, has no spread over seeds to show.
    interval = estimate.interval if len(set(values.values())) > 1 else None
    return {
        "mean": estimate.value,
        "low": interval.low if interval else math.nan,
        "high": interval.high if interval else math.nan,
        "seeds": len(values),
    }
