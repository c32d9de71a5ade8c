"""The arms of question 1 on one data set: their runs that count, and which are compared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from analysis.questions.transfer_curve import CurveFit, fit_curve
from analysis.questions.transfer_scores import by_seed

CONVENTIONS = {
    "train_flops": "exact FLOPs",
    "train_flops_6nd": "6 N D",
    "tokens_seen": "tokens",
    "tokens_predicted": "predicted tokens",
}
HEADLINE = "train_flops"


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


def arms_of(rows: pd.DataFrame) -> list[Arm]:
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


def pairs(arms: Sequence[Arm]) -> Iterator[tuple[Arm, Arm]]:
    """Each masked arm with each causal one."""
    for one in arms:
        for other in arms:
            if one.is_masked and not other.is_masked:
                yield one, other


def seeds_behind(*arms: Arm) -> str:
    """Of what the seeds of a verdict are: its interval holds no spread over what had one seed."""
    least = min(arm.longest()["pretraining_seed"].nunique() for arm in arms)
    return "all of fine-tuning with one of pre-training; " if least < 2 else ""


def n_seeds(one: Arm, other: Arm) -> int:
    return min(len(by_seed(arm.longest())) for arm in (one, other))
