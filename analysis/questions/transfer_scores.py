"""Scores after fine-tuning: the learning rate is chosen on validation, test is what is reported."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.questions.table import QuestionTable
from analysis.seeds import seed_mean

# What makes one way of fine-tuning; its learning rates and seeds are what the groups hold.
SETTING = ("task", "data", "mask", "pooler", "freeze", "train_examples")
MODEL = ("arm", "objective", "size", "train_tokens")
ABSCISSAE = ("train_flops", "train_flops_6nd", "tokens_seen", "tokens_predicted")


@dataclass(frozen=True, kw_only=True, slots=True)
class Scores:
    """The evaluations of a study, one row each, and what was left out.

    Attributes:
        rows: `validation` and `test` are the score that the kind of task is judged by.
        excluded: cell -> why it is not used.
    """

    rows: pd.DataFrame
    excluded: dict[str, str]


def read_scores(table: QuestionTable) -> Scores:
    """All fine-tunings of a study; one whose score is not defined is left out, with the reason."""
    frame = table.frame("transfer")
    # A run and its fine-tuning both have a seed and a learning rate.
    frame = frame.rename(columns={name: f"pretraining_{name}" for name in ("seed", "peak_lr")})
    frame = frame.rename(columns=lambda name: name.removeprefix("option_"))
    for split in ("validation", "test"):
        frame[split] = [row[f"{split}.{row['metric']}"] for _, row in frame.iterrows()]
    # All examples is as good a number as another: what was used is counted.
    frame["train_examples"] = frame["examples.train"]
    frame["size"] = frame["size"].fillna("")
    undefined = frame[["validation", "test"]].isna().any(axis=1)
    excluded = {
        f"{row['arm']} {row['data']} ({row['evaluation_id']})": "its score is not defined"
        for _, row in frame[undefined].iterrows()
    }
    return Scores(rows=frame[~undefined].reset_index(drop=True), excluded=excluded)


def chosen(rows: pd.DataFrame) -> pd.DataFrame:
    """Of each model and setting the rows of one learning rate: the best mean on validation."""
    parts = []
    for _, group in rows.groupby([*MODEL, *SETTING], sort=True, dropna=False):
        means = group.groupby("peak_lr")["validation"].mean()
        best = means.idxmax()
        is_edge = len(means) > 2 and best in (means.index.min(), means.index.max())
        parts.append(
            group[group["peak_lr"] == best].assign(rates_tried=len(means), is_edge=is_edge)
        )
    return pd.concat(parts, ignore_index=True)


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """A row per model and setting: mean test score over seeds with its interval."""
    out = []
    for key, group in rows.groupby([*MODEL, *SETTING], sort=True, dropna=False):
        found = seed_mean(group["test"].tolist(), name="test", unit="")
        box = found.interval
        first = group.iloc[0]
        out.append(
            dict(zip((*MODEL, *SETTING), key, strict=True))
            | {name: first[name] for name in ABSCISSAE}
            | {
                "metric": first["metric"],
                "peak_lr": first["peak_lr"],
                "rates_tried": first["rates_tried"],
                "rate_on_edge": bool(first["is_edge"]),
                "fine_tunings": len(group),
                "pretraining_seeds": group["pretraining_seed"].nunique(),
                "validation": group["validation"].mean(),
                "test": found.value,
                "test_low": box.low if box else np.nan,
                "test_high": box.high if box else np.nan,
            }
        )
    return pd.DataFrame(out)


def baselines(rows: pd.DataFrame) -> pd.DataFrame:
    """What needs no language model, on the very same examples: mean over the draws of them."""
    out = []
    for key, group in rows.groupby(["task", "data", "train_examples"], sort=True):
        metric = group["metric"].iloc[0]
        ends = f".test.{metric}"
        for column in sorted(
            c for c in map(str, group) if c.startswith("baselines.") and c.endswith(ends)
        ):
            values = group[column].dropna()
            if len(values):
                out.append(
                    dict(zip(("task", "data", "train_examples"), key, strict=True))
                    | {"baseline": column.removeprefix("baselines.").removesuffix(ends),
                       "metric": metric, "test": values.mean()}
                )  # fmt: skip
    columns = ["task", "data", "train_examples", "baseline", "metric", "test"]
    return pd.DataFrame(out, columns=columns)


def main_setting(rows: pd.DataFrame) -> pd.DataFrame:
    """Of each data set the setting that the most models have, with the mask of pre-training."""
    parts = []
    plain = rows[(rows["mask"] == "pretrained") & ~rows["freeze"].astype(bool)]
    for _, group in plain.groupby(["task", "data"], sort=True):
        settings = group.groupby(["pooler", "train_examples"])
        models = settings.apply(lambda part: part.groupby(list(MODEL)).ngroups)
        size = settings.size()
        # Of settings with as many models, the one with more fine-tunings.
        pooler, examples = max(models.index, key=lambda i: (models[i], size[i]))
        parts.append(group[(group["pooler"] == pooler) & (group["train_examples"] == examples)])
    return pd.concat(parts, ignore_index=True) if parts else plain


def by_seed(rows: pd.DataFrame) -> dict[tuple[int, int], float]:
    """(seed of pre-training, seed of fine-tuning) -> test score."""
    pairs: Iterable[tuple[int, int]] = zip(rows["pretraining_seed"], rows["seed"], strict=True)
    return {pair: float(score) for pair, score in zip(pairs, rows["test"], strict=True)}
