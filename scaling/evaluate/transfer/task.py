"""What a kind of task is: from rows to positions and targets, from outputs to a score."""

# Axes: B batch, T positions, W words, C outputs per sentence or word.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from scaling.evaluate.transfer.layout import Laid, Layout
from scaling.evaluate.transfer.rows import Row
from scaling.tokenizer import PAD_ID

NO_TARGET = -100

# Scores by name; None where a score is not defined, such as a rank correlation of constants.
Scores = dict[str, float | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """A row as the model reads it.

    Attributes:
        target: what `Task.targets` makes a tensor of.
        is_answerable: False where what is to be found was cut off; it gives no loss and counts
            as it scores.
    """

    row: Row
    laid: Laid
    target: Any
    is_answerable: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Inputs:
    """Examples side by side, padded on the right.

    Attributes:
        valid_BT: False where a position is padding.
        segments_BT: 0 up to the first [SEP], 1 after it.
        words_BW2: first and last position of each word; 0 where there is none.
        has_word_BW: where there is one.
    """

    ids_BT: Tensor
    valid_BT: Tensor
    segments_BT: Tensor
    words_BW2: Tensor
    has_word_BW: Tensor

    def to(self, device: torch.device) -> Inputs:
        return Inputs(
            ids_BT=self.ids_BT.to(device),
            valid_BT=self.valid_BT.to(device),
            segments_BT=self.segments_BT.to(device),
            words_BW2=self.words_BW2.to(device),
            has_word_BW=self.has_word_BW.to(device),
        )


class Task(Protocol):
    """A kind of task, made for one set of training rows, which name its labels.

    Attributes:
        metric: the score that tables and verdicts use.
        reads_words: whether outputs are per word, [B, W, C], or per sentence, [B, C].
        n_outputs: C.
    """

    metric: str
    reads_words: bool
    n_outputs: int

    def example(self, row: Row, layout: Layout) -> Example:
        """Raises TaskDataError for a row that lacks what the task needs."""

    def targets(self, examples: Sequence[Example], inputs: Inputs) -> Tensor:
        """The targets of a batch, for `loss`."""

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean over the targets of the batch."""

    def predict(self, outputs: Tensor, examples: Sequence[Example]) -> list[Any]:
        """One prediction per example, in the form that `score` reads."""

    def score(self, rows: Sequence[Row], predictions: Sequence[Any]) -> Scores:
        """Scores of predictions, `metric` among them."""

    def baselines(self, train: Sequence[Row], test: Sequence[Row]) -> dict[str, list[Any]]:
        """name -> predictions that need no language model, from the very same rows."""


def stack(examples: Sequence[Example]) -> Inputs:
    """Pads examples to the longest of them."""
    B = len(examples)
    T = max(len(example.laid.ids_T) for example in examples)
    W = max(1, *(len(example.laid.words_W2) for example in examples))
    ids = np.full((B, T), PAD_ID, np.int64)
    segments = np.zeros((B, T), np.int64)
    valid = np.zeros((B, T), bool)
    words = np.zeros((B, W, 2), np.int64)
    has_word = np.zeros((B, W), bool)
    for row, example in enumerate(examples):
        laid = example.laid
        length, n_words = len(laid.ids_T), len(laid.words_W2)
        ids[row, :length] = laid.ids_T
        valid[row, :length] = True
        segments[row, laid.n_first : length] = 1
        words[row, :n_words] = laid.words_W2
        has_word[row, :n_words] = True
    return Inputs(
        ids_BT=torch.from_numpy(ids),
        valid_BT=torch.from_numpy(valid),
        segments_BT=torch.from_numpy(segments),
        words_BW2=torch.from_numpy(words),
        has_word_BW=torch.from_numpy(has_word),
    )


def finite(scores: Mapping[str, float]) -> Scores:
    """Scores with None for what is not a number."""
    return {name: float(v) if np.isfinite(v) else None for name, v in scores.items()}
