"""Tagging: fields `tokens` and `tags` (BIO); the score is F1 of whole entities, as in CoNLL.

Entities are counted by seqeval, which follows the script of Tjong Kim Sang & De Meulder 2003.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from scaling.evaluate.transfer.layout import Layout
from scaling.evaluate.transfer.rows import Row, TaskDataError, field_of
from scaling.evaluate.transfer.task import NO_TARGET, Example, Inputs, Scores, finite

_TASK = "tagging"
OUTSIDE = "O"


class Tagging:
    """One tag per word."""

    metric = "f1"
    reads_words = True

    def __init__(self, train: Sequence[Row]) -> None:
        self.tags = sorted({OUTSIDE} | {tag for row in train for tag in _tags(row)})
        self.index = {tag: i for i, tag in enumerate(self.tags)}
        self.n_outputs = len(self.tags)

    def example(self, row: Row, layout: Layout) -> Example:
        words = _words(row)
        ends = np.cumsum([len(word.encode()) + 1 for word in words]) - 1
        starts = [end - len(word.encode()) for end, word in zip(ends, words, strict=True)]
        laid = layout.one(" ".join(words), list(zip(starts, ends.tolist(), strict=True)))
        # A tag that no training example has gives no loss, and counts as an error.
        target = [self.index.get(tag, NO_TARGET) for tag in _tags(row)[: len(laid.words_W2)]]
        return Example(
            row=row, laid=laid, target=target, is_answerable=any(t != NO_TARGET for t in target)
        )

    def targets(self, examples: Sequence[Example], inputs: Inputs) -> Tensor:
        targets_BW = torch.full(inputs.has_word_BW.shape, NO_TARGET)
        for row, example in enumerate(examples):
            targets_BW[row, : len(example.target)] = torch.tensor(example.target)
        return targets_BW

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(outputs.flatten(0, 1), targets.flatten(), ignore_index=NO_TARGET)

    def predict(self, outputs: Tensor, examples: Sequence[Example]) -> list[list[str]]:
        """A tag for every word: words that were cut off get the tag for "no entity"."""
        best_BW = outputs.argmax(-1).tolist()
        predictions = []
        for best_W, example in zip(best_BW, examples, strict=True):
            read = [self.tags[index] for index in best_W[: len(example.laid.words_W2)]]
            predictions.append(read + [OUTSIDE] * (len(_words(example.row)) - len(read)))
        return predictions

    def score(self, rows: Sequence[Row], predictions: Sequence[list[str]]) -> Scores:
        """F1, precision and recall of entities, and the share of words with the right tag."""
        from seqeval.metrics import accuracy_score, f1_score, precision_score, recall_score

        truth = [list(_tags(row)) for row in rows]
        found = [list(tags) for tags in predictions]
        scores = {"word_accuracy": float(accuracy_score(truth, found))}
        for name, measure in (
            ("f1", f1_score),
            ("precision", precision_score),
            ("recall", recall_score),
        ):
            scores[name] = float(measure(truth, found, zero_division=0))
        return finite(scores)

    def baselines(self, train: Sequence[Row], test: Sequence[Row]) -> dict[str, list[list[str]]]:
        """Each word's most frequent tag in training; unknown words are no entity."""
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        for row in train:
            for word, tag in zip(_words(row), _tags(row), strict=True):
                counts[word][tag] += 1
        best = {word: min(tags, key=lambda t: (-tags[t], t)) for word, tags in counts.items()}
        return {
            "all_outside": [[OUTSIDE] * len(_words(row)) for row in test],
            "most_frequent_tag": [[best.get(word, OUTSIDE) for word in _words(row)]
                                  for row in test],
        }  # fmt: skip


def _words(row: Row) -> list[str]:
    words: list[str] = field_of(row, "tokens", list, _TASK)
    if not words or not all(isinstance(word, str) and word for word in words):
        raise TaskDataError(
            f"example {row.get('id', '?')!r}: `tokens` must be a list of words, none of them empty"
        )
    return words


def _tags(row: Row) -> list[str]:
    tags: list[str] = field_of(row, "tags", list, _TASK)
    if len(tags) != len(_words(row)) or not all(isinstance(tag, str) for tag in tags):
        raise TaskDataError(
            f"example {row.get('id', '?')!r}: {len(tags)} tags for {len(_words(row))} words; "
            "each word needs one, as text such as B-PER"
        )
    return tags
