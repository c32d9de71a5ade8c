"""Sentence classification: fields `text` and `label`; the score is accuracy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from scaling.evaluate.transfer.layout import Layout
from scaling.evaluate.transfer.rows import Row, TaskDataError, field_of
from scaling.evaluate.transfer.task import Example, Inputs, Scores, finite

Label = int | str

_TASK = "classification"


class Classification:
    """One label per sentence."""

    metric = "accuracy"
    reads_words = False

    def __init__(self, train: Sequence[Row]) -> None:
        found = {_label(row) for row in train}
        self.labels = sorted(found, key=lambda label: (isinstance(label, str), label))
        if len(self.labels) < 2:
            raise TaskDataError(
                f"the training examples have the label {self.labels[0]!r} alone, and two are "
                "needed; give more train_examples"
            )
        self.index = {label: i for i, label in enumerate(self.labels)}
        self.n_outputs = len(self.labels)

    def example(self, row: Row, layout: Layout) -> Example:
        # A label that no training example has cannot be found, and counts as an error.
        index = self.index.get(_label(row))
        return Example(
            row=row,
            laid=layout.one(_text(row)),
            target=index,
            is_answerable=index is not None,
        )

    def targets(self, examples: Sequence[Example], inputs: Inputs) -> Tensor:
        return torch.tensor([example.target for example in examples])

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(outputs, targets)

    def predict(self, outputs: Tensor, examples: Sequence[Example]) -> list[Label]:
        return [self.labels[index] for index in outputs.argmax(-1).tolist()]

    def score(self, rows: Sequence[Row], predictions: Sequence[Label]) -> Scores:
        """Accuracy, and F1 averaged over the labels that occur."""
        from sklearn.metrics import accuracy_score, f1_score

        names = [repr(_label(row)) for row in rows]
        predicted = [repr(label) for label in predictions]
        return finite(
            {
                "accuracy": accuracy_score(names, predicted),
                "macro_f1": f1_score(names, predicted, average="macro", zero_division=0.0),
            }
        )

    def baselines(self, train: Sequence[Row], test: Sequence[Row]) -> dict[str, list[Label]]:
        return {
            "majority": [Counter(map(_label, train)).most_common(1)[0][0]] * len(test),
            "tfidf_logistic_regression": _tfidf(train, test),
        }


def _tfidf(train: Sequence[Row], test: Sequence[Row]) -> list[Label]:
    """Logistic regression on TF-IDF of words and pairs of words."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    # A vocabulary of no words would be an error of the library: single letters count too.
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\S+")
    model = make_pipeline(words, LogisticRegression(C=10.0, max_iter=1000))
    labels = list(dict.fromkeys(map(_label, train)))
    index = {label: i for i, label in enumerate(labels)}
    model.fit([_text(row) for row in train], [index[_label(row)] for row in train])
    return [labels[i] for i in model.predict([_text(row) for row in test])]


def _text(row: Row) -> str:
    text: str = field_of(row, "text", str, _TASK)
    return text


def _label(row: Row) -> Label:
    label: Label = field_of(row, "label", (int, str), _TASK)
    return label
