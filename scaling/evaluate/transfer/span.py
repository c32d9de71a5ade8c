"""Extractive question answering: fields `question`, `context` and `answers` (`text`, `start`).

An answer runs from one word of the context to another. The head gives each word a score as the
first and one as the last word; the best pair is the prediction. Exact match and F1 are SQuAD's
(Rajpurkar et al. 2016, arXiv:1606.05250, section 6.1).
"""

# Axes: B batch, W words, two outputs: first word and last word.

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from scaling.evaluate.transfer.layout import Layout, byte_spans
from scaling.evaluate.transfer.rows import Row, TaskDataError, field_of
from scaling.evaluate.transfer.task import NO_TARGET, Example, Inputs, Scores, finite

_TASK = "span"
# What an answer may begin and end with, whatever the tokens are: a run of letters and digits, or
# another sign that is no space.
_WORD = re.compile(r"\w+|[^\w\s]")

LONGEST_ANSWER_WORDS = 30


class Span:
    """A span of the context per question."""

    metric = "f1"
    reads_words = True
    n_outputs = 2

    def __init__(self, train: Sequence[Row]) -> None:
        for row in train:
            _answers(row)

    def example(self, row: Row, layout: Layout) -> Example:
        context = _context(row)
        spans = word_spans(context)
        laid = layout.two(_question(row), context, byte_spans(context, spans))
        answer = _answers(row)[0]
        first, last = _words_of(spans, answer["start"], answer["start"] + len(answer["text"]))
        return Example(
            row=row,
            laid=laid,
            target=(first, last),
            is_answerable=0 <= first <= last < len(laid.words_W2),
        )

    def targets(self, examples: Sequence[Example], inputs: Inputs) -> Tensor:
        return torch.tensor([
            example.target if example.is_answerable else (NO_TARGET, NO_TARGET)
            for example in examples
        ])  # fmt: skip

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        first, last = (
            F.cross_entropy(outputs[..., end], targets[:, end], ignore_index=NO_TARGET)
            for end in (0, 1)
        )
        return (first + last) / 2

    def predict(self, outputs: Tensor, examples: Sequence[Example]) -> list[str]:
        """The text from the best first to the best last word, no longer than an answer may be."""
        predictions = []
        for scores_W2, example in zip(outputs, examples, strict=True):
            n = len(example.laid.words_W2)
            if n == 0:
                predictions.append("")
                continue
            first_W, last_W = scores_W2[:n].unbind(-1)
            pairs_WW = first_W[:, None] + last_W[None, :]
            allowed = torch.ones_like(pairs_WW, dtype=torch.bool).triu()
            allowed &= torch.ones_like(allowed).tril(LONGEST_ANSWER_WORDS - 1)
            best = int(pairs_WW.masked_fill(~allowed, -torch.inf).argmax())
            spans = word_spans(_context(example.row))
            predictions.append(_context(example.row)[spans[best // n][0] : spans[best % n][1]])
        return predictions

    def score(self, rows: Sequence[Row], predictions: Sequence[str]) -> Scores:
        """Exact match and F1 of words, the best over each question's answers; both of 1."""
        from torchmetrics.functional.text import squad

        found = squad(
            [{"prediction_text": text, "id": str(i)} for i, text in enumerate(predictions)],
            [
                {"id": str(i), "answers": {
                    "text": [answer["text"] for answer in _answers(row)],
                    "answer_start": [answer["start"] for answer in _answers(row)],
                }}
                for i, row in enumerate(rows)
            ],
        )  # fmt: skip
        # The library counts in percent.
        return finite({name: float(found[name]) / 100 for name in ("exact_match", "f1")})

    def baselines(self, train: Sequence[Row], test: Sequence[Row]) -> dict[str, list[str]]:
        return {
            "whole_context": [_context(row) for row in test],
            "next_to_overlap": [next_to_overlap(_question(row), _context(row)) for row in test],
        }


def word_spans(context: str) -> list[tuple[int, int]]:
    """Character spans of the words that an answer may begin and end with."""
    return [match.span() for match in _WORD.finditer(context)]


def next_to_overlap(question: str, context: str) -> str:
    """Of the runs of words that the question lacks, the one among most words that it has.

    A question repeats the words around its answer. Each run is given the words of the question
    within five words of it (the sliding window of Richardson et al. 2013, around a candidate);
    the first of the best wins.
    """
    asked = set(re.findall(r"\w+", question.lower()))
    words = [(m.start(), m.end(), m[0].lower()) for m in re.finditer(r"\w+", context)]
    runs: list[tuple[int, int]] = []
    for i, (start, _, word) in enumerate(words):
        if word in asked:
            continue
        # A comma or another sign ends a run as a word of the question does.
        is_next = runs and runs[-1][1] == i - 1 and context[words[i - 1][1] : start].isspace()
        if is_next:
            runs[-1] = (runs[-1][0], i)
        else:
            runs.append((i, i))
    if not runs:
        return context

    def overlap(run: tuple[int, int]) -> int:
        around = words[max(0, run[0] - 5) : run[0]] + words[run[1] + 1 : run[1] + 6]
        return len(asked & {word for _, _, word in around})

    first, last = max(runs, key=overlap)
    return context[words[first][0] : words[last][1]]


def _words_of(spans: Sequence[tuple[int, int]], start: int, end: int) -> tuple[int, int]:
    """First and last word that overlap the characters [start, end); (0, -1) where none does."""
    first = bisect_right([span_end for _, span_end in spans], start)
    last = bisect_right([span_start for span_start, _ in spans], end - 1) - 1
    return (first, last) if first <= last else (0, -1)


def _question(row: Row) -> str:
    question: str = field_of(row, "question", str, _TASK)
    return question


def _context(row: Row) -> str:
    context: str = field_of(row, "context", str, _TASK)
    return context


def _answers(row: Row) -> list[dict[str, Any]]:
    answers: list[dict[str, Any]] = field_of(row, "answers", list, _TASK)
    context = _context(row)
    for answer in answers:
        text, start = answer.get("text"), answer.get("start")
        is_there = isinstance(text, str) and isinstance(start, int)
        if not is_there or context[start : start + len(text)] != text:  # type: ignore
            raise TaskDataError(
                f"example {row.get('id', '?')!r}: the answer {answer!r:.80} does not stand in "
                "its context; give its text and the character where it starts"
            )
    if not answers:
        raise TaskDataError(
            f"example {row.get('id', '?')!r} has no answer, and each question needs one; "
            "remove it (unanswerable questions are not supported)"
        )
    return answers
