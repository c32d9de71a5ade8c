"""Scored pairs of sentences, such as the STS benchmark, from a JSONL file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scaling.errors import EvaluationError
from scaling.jsonl import read_rows

_EXAMPLE = '{"text1": "A cat.", "text2": "A dog.", "score": 1.5}'


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_number(value: Any) -> bool:
    # JSON as Python reads it has true, NaN and Infinity.
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


_FIELDS = {"text1": _is_text, "text2": _is_text, "score": _is_number}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SentencePairs:
    """Pairs and how alike people found them.

    Attributes:
        one, other: the sentences of each pair.
        scores_P: float64 [P], in the unit of the data.
    """

    one: tuple[str, ...]
    other: tuple[str, ...]
    scores_P: np.ndarray


def read_sentence_pairs(path: Path) -> SentencePairs:
    """Reads a .jsonl or .jsonl.gz, each line with `text1`, `text2` and `score`.

    Raises:
        EvaluationError: a line breaks this form. OSError: it cannot be read.
    """
    rows = []
    for where, row in read_rows(path, error=EvaluationError, example=_EXAMPLE):
        if wrong := [name for name, is_right in _FIELDS.items() if not is_right(row.get(name))]:
            raise EvaluationError(
                f"{where} is no scored pair ({', '.join(wrong)}); each line is an object such as "
                f"{_EXAMPLE}"
            )
        rows.append(row)
    if len(rows) < 3:
        raise EvaluationError(f"{path} has {len(rows)} pairs; a correlation needs 3 or more")
    return SentencePairs(
        one=tuple(row["text1"] for row in rows),
        other=tuple(row["text2"] for row in rows),
        scores_P=np.array([row["score"] for row in rows], dtype=np.float64),
    )
