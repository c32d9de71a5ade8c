"""The measurements `next_sentence` of one study: their numbers by arm and seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.errors import AnalysisError
from analysis.questions.table import QuestionTable

MEASUREMENT = "next_sentence"
TASKS = ("nsp", "nsp_same_document", "sop")
CHANCE = 0.5

Seeds = dict[int, float]


@dataclass(frozen=True, slots=True)
class PairStudy:
    """What one study found of pairs, on one corpus.

    Attributes:
        trained, untrained: a row per evaluation; of models as they were trained, and of the same
            models before their first step, where the study has them.
    """

    table: QuestionTable
    trained: pd.DataFrame
    untrained: pd.DataFrame

    @property
    def arms(self) -> list[str]:
        """In the order of the study."""
        return list(dict.fromkeys(self.trained["arm"]))

    @property
    def n_seeds(self) -> int:
        return int(self.trained["seed"].nunique())

    def by_seed(self, arm: str, column: str) -> Seeds:
        """Seed -> value of a column for one arm, where there is one."""
        return by_seed(self.trained, arm, column)

    def runs(self, arm: str) -> dict[int, Mapping[str, Any]]:
        """Seed -> the record of the run."""
        rows = self.trained[self.trained["arm"] == arm]
        return {
            int(seed): self.table.runs[run]
            for seed, run in zip(rows["seed"], rows["run_id"], strict=True)
        }

    def losses(self, arm: str, term: str) -> Seeds:
        """Seed -> nats per target of a loss, on the validation set of the run itself."""
        found = {seed: run["losses"].get(term) for seed, run in self.runs(arm).items()}
        return {seed: float(loss["nats_per_target"]) for seed, loss in found.items() if loss}

    def yardstick(self, arm: str) -> str:
        """What the MLM loss of an arm was measured on; empty names for none."""
        kinds = {run["yardsticks"].get("mlm", "") for run in self.runs(arm).values()}
        return ", ".join(sorted(kinds))


def pair_study(table: QuestionTable) -> PairStudy:
    """The study of a folder.

    Raises:
        AnalysisError: there is no evaluation by `next_sentence`, or the runs read several corpora.
    """
    corpora = {run["spec"]["corpus_fingerprint"] for run in table.runs.values()}
    if len(corpora) > 1:
        raise AnalysisError(
            f"{table.source} holds runs on {len(corpora)} corpora, whose pairs and losses are not "
            "comparable; answer from a study of one"
        )
    frame = table.frame(MEASUREMENT)
    is_trained = pd.Series(True, index=frame.index)
    if "option_weights" in frame:
        is_trained = frame["option_weights"] != "initial"
    return PairStudy(table=table, trained=frame[is_trained], untrained=frame[~is_trained])


def by_seed(frame: pd.DataFrame, arm: str, column: str) -> Seeds:
    """Seed -> value of a column for one arm, where there is one."""
    if column not in frame:
        return {}
    rows = frame[(frame["arm"] == arm) & frame[column].notna()]
    return {int(seed): float(value) for seed, value in zip(rows["seed"], rows[column], strict=True)}
