"""The best peak learning rate per size, from runs that differ in nothing else.

A parabola through the lowest loss and its two neighbours over log(peak_lr) gives the optimum of
each size; a line through the optima over log N gives the rule that a recipe uses.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.errors import AnalysisError
from analysis.table import Table

# Runs of one curve agree in all of these.
_CURVE = ["group", "params_non_embedding", "train_tokens", "seed"]
# What a rate may cost and still count as good, when the width of the optimum is stated.
GOOD_ENOUGH = 0.01


@dataclass(frozen=True, kw_only=True, slots=True)
class LearningRateCurve:
    """Loss over peak_lr for one arm and size.

    Attributes:
        runs: `peak_lr` and `loss`, ascending in the rate.
        best_lr: rate at the parabola's minimum; None where it is refused.
        good_from, good_to: range of measured rates within 1 % of the lowest loss.
        refused: why there is no minimum.
    """

    group: str
    params_non_embedding: float
    train_tokens: float
    runs: pd.DataFrame
    best_lr: float | None
    good_from: float
    good_to: float
    refused: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class LearningRateRule:
    """peak_lr = at_100k x (params_non_embedding / 100,000) ^ exponent, for one arm."""

    group: str
    at_100k: float
    exponent: float
    sizes: int


def learning_rate_curves(table: Table) -> list[LearningRateCurve]:
    """One curve per arm and size, in order of size.

    Args:
        table: with a column `peak_lr`; at least three rates per curve.
    Raises:
        AnalysisError: there is no such column, or no curve has three rates.
    """
    frame = table.frame
    if "peak_lr" not in frame:
        raise AnalysisError(
            "the table has no column peak_lr; give a sweep that varies it, such as learning_rate"
        )
    keys = [name for name in _CURVE if name in frame]
    loss = table.columns["loss"]
    curves = []
    for key, runs in frame.groupby(keys, sort=True):
        means = runs.groupby("peak_lr")[loss].mean()
        if len(means) >= 3:
            values = dict(zip(keys, key, strict=True))
            rates = pd.DataFrame({"peak_lr": means.index, "loss": means.to_numpy()})
            curves.append(_curve(values, rates))
    if not curves:
        raise AnalysisError(
            "no size was trained at three peak learning rates; give at least three values of "
            "peak_lr in the sweep"
        )
    return curves


def learning_rate_rules(curves: list[LearningRateCurve]) -> list[LearningRateRule]:
    """A power law through the optima of each arm that has at least two sizes."""
    rules = []
    for group in dict.fromkeys(curve.group for curve in curves):
        found = [c for c in curves if c.group == group and c.best_lr is not None]
        n = np.log([c.params_non_embedding / 1e5 for c in found])
        if len(np.unique(n)) < 2:
            continue
        rates = np.log([c.best_lr for c in found if c.best_lr is not None])
        exponent, at = np.polyfit(n, rates, 1)
        rules.append(
            LearningRateRule(
                group=group,
                at_100k=float(np.exp(at)),
                exponent=float(exponent),
                sizes=len(found),
            )
        )
    return rules


def _curve(values: dict[str, object], runs: pd.DataFrame) -> LearningRateCurve:
    rates, losses = runs["peak_lr"].to_numpy(float), runs["loss"].to_numpy(float)
    lowest = int(losses.argmin())
    refused = None
    best: float | None = None
    if lowest == 0:
        refused = "the lowest loss is at the smallest rate; add smaller rates"
    elif lowest == len(rates) - 1:
        refused = "the lowest loss is at the largest rate; add larger rates"
    else:
        near = slice(lowest - 1, lowest + 2)
        curvature, slope, _ = np.polyfit(np.log(rates[near]), losses[near], 2)
        best = float(np.exp(-slope / (2 * curvature)))
    good = rates[losses <= losses[lowest] * (1 + GOOD_ENOUGH)]
    return LearningRateCurve(
        group=str(values.get("group", "all runs")),
        params_non_embedding=float(values["params_non_embedding"]),  # type: ignore[arg-type]
        train_tokens=float(values["train_tokens"]),  # type: ignore[arg-type]
        runs=runs.reset_index(drop=True),
        best_lr=best,
        good_from=float(good.min()),
        good_to=float(good.max()),
        refused=refused,
    )
