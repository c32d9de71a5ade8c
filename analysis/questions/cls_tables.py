"""The tables of question 5: means over seeds, histograms of cosines, what the models learned."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from analysis.questions.cls_view import KEYS
from analysis.questions.table import Evaluation
from analysis.seeds import seed_mean


def over_seeds(frame: pd.DataFrame) -> pd.DataFrame:
    """Means over seeds with the ends of their 95 % intervals, for each number of the long frame."""
    numbers = [str(name) for name in frame if name not in (*KEYS, "seed", "is_last")]
    rows = []
    for key, group in frame.groupby(list(KEYS), sort=True):
        row: dict[str, Any] = dict(zip(KEYS, key, strict=True)) | {"seeds": len(group)}
        for name in numbers:
            row |= mean_with_ends(group[name], name)
        rows.append(row)
    return pd.DataFrame(rows)


def mean_with_ends(values: pd.Series[Any], name: str) -> dict[str, float]:
    """The mean under `name`, and the ends of its interval; nothing where no value is known."""
    known = values.dropna().tolist()
    if not known:
        return {}
    estimate = seed_mean(known, name=name, unit="")
    found = {name: estimate.value}
    if estimate.interval is not None:
        found |= {f"{name}_low": estimate.interval.low, f"{name}_high": estimate.interval.high}
    return found


def histograms(evaluations: tuple[Evaluation, ...]) -> pd.DataFrame:
    """Counts of the cosines of passages in the last layer, summed over seeds, per bin."""
    rows = []
    for one in evaluations:
        run = one.columns()
        layers = one.values["layers"]
        for pooling, found in layers[str(max(map(int, layers)))].items():
            for cure in ("raw", "centred"):
                if found is None or found[cure] is None:
                    continue
                counts = found[cure]["histogram"]
                for index, count in enumerate(counts):
                    rows.append(
                        {name: run[name] for name in ("arm", "size", "train_tokens")}
                        | {"pooling": pooling, "cure": cure, "pairs": count}
                        | {"low": -1 + 2 * index / len(counts), "width": 2 / len(counts)}
                    )
    keys = ["arm", "size", "train_tokens", "pooling", "cure", "low", "width"]
    return pd.DataFrame(rows).groupby(keys, sort=True)[["pairs"]].sum().reset_index()


def learned(evaluations: tuple[Evaluation, ...]) -> pd.DataFrame:
    """A row per arm, size, horizon and loss term: what the trained models reached, over seeds.

    Accuracy is known of losses on pairs; `unigram_nats` is the loss of token frequencies alone.
    """
    rows: dict[str, list[dict[str, Any]]] = {}
    for one in evaluations:
        run = one.columns()
        if run["train_tokens"] == 0 or one.run["run_id"] in rows:
            continue
        rows[one.run["run_id"]] = [
            {name: run[name] for name in ("arm", "size", "params_non_embedding", "train_tokens")}
            | {"term": term} | _numbers(loss)
            for term, loss in one.run["losses"].items()
        ]  # fmt: skip
    frame = pd.DataFrame([row for of_run in rows.values() for row in of_run])
    keys = ["arm", "params_non_embedding", "size", "train_tokens", "term"]
    found = []
    for key, group in frame.groupby(keys, sort=True):
        row: dict[str, Any] = dict(zip(keys, key, strict=True)) | {"seeds": len(group)}
        for name in ("nats_per_target", "accuracy", "unigram_nats"):
            row |= mean_with_ends(group[name], name)
        found.append(row)
    return pd.DataFrame(found)


def _numbers(loss: Mapping[str, Any]) -> dict[str, float]:
    read = {
        "nats_per_target": loss["nats_per_target"],
        "accuracy": loss.get("accuracy"),
        "unigram_nats": loss.get("unigram_nats_per_target"),
    }
    return {name: math.nan if value is None else float(value) for name, value in read.items()}
