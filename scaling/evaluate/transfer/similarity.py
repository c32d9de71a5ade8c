"""Similarity of two sentences: fields `text1`, `text2` and `score`.

Both sentences stand in one sequence, as in BERT (Devlin et al. 2018, section 4.1), and the head
gives the score by regression. What counts is Spearman's rank correlation.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from scipy.stats import pearsonr, spearmanr
from torch import Tensor

from scaling.evaluate.transfer.layout import Layout
from scaling.evaluate.transfer.rows import Row, TaskDataError, field_of
from scaling.evaluate.transfer.task import Example, Inputs, Scores, finite

_TASK = "similarity"
_WORD = re.compile(r"\w+")


class Similarity:
    """A number per pair of sentences."""

    metric = "spearman"
    reads_words = False
    n_outputs = 1

    def __init__(self, train: Sequence[Row]) -> None:
        scores = np.array([_score(row) for row in train])
        self.mean, self.spread = float(scores.mean()), float(scores.std())
        if self.spread == 0:
            raise TaskDataError(
                f"all training examples have the score {self.mean:g}, which leaves nothing to "
                "learn; give more train_examples"
            )

    def example(self, row: Row, layout: Layout) -> Example:
        one, two = _texts(row)
        # In units of the training scores' spread the head need not first learn their scale.
        target = (_score(row) - self.mean) / self.spread
        return Example(row=row, laid=layout.two(one, two), target=target)

    def targets(self, examples: Sequence[Example], inputs: Inputs) -> Tensor:
        return torch.tensor([example.target for example in examples], dtype=torch.float32)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return F.mse_loss(outputs[:, 0], targets)

    def predict(self, outputs: Tensor, examples: Sequence[Example]) -> list[float]:
        return [self.mean + self.spread * value for value in outputs[:, 0].tolist()]

    def score(self, rows: Sequence[Row], predictions: Sequence[float]) -> Scores:
        """Rank and linear correlation; None where all predictions are the same."""
        truth = [_score(row) for row in rows]
        if len(set(predictions)) < 2 or len(set(truth)) < 2:
            return {"spearman": None, "pearson": None}
        return finite(
            {
                "spearman": spearmanr(truth, predictions).statistic,
                "pearson": pearsonr(truth, predictions).statistic,
            }
        )

    def baselines(self, train: Sequence[Row], test: Sequence[Row]) -> dict[str, list[float]]:
        return {"word_overlap": [word_overlap(*_texts(row)) for row in test]}


def word_overlap(one: str, two: str) -> float:
    """Words in both over words in either (Jaccard), letter case aside."""
    first, second = (set(_WORD.findall(text.lower())) for text in (one, two))
    return len(first & second) / max(1, len(first | second))


def _texts(row: Row) -> tuple[str, str]:
    return field_of(row, "text1", str, _TASK), field_of(row, "text2", str, _TASK)


def _score(row: Row) -> float:
    return float(field_of(row, "score", (int, float), _TASK))
