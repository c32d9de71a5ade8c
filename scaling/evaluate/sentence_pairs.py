"""Scored pairs of sentences, such as the STS benchmark, from a JSONL file."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scaling.errors import EvaluationError

_FIELDS: dict[str, Any] = {"text1": str, "text2": str, "score": (int, float)}


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
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (EOFError, gzip.BadGzipFile) as error:
        raise EvaluationError(
            f"{path} is no whole gzip file ({error}); fetch or compress it again"
        ) from None
    for number, line in enumerate(content.splitlines(), 1):
        try:
            row = json.loads(line)
            wrong = [name for name, kind in _FIELDS.items() if not isinstance(row[name], kind)]
        except (ValueError, KeyError, TypeError):
            wrong = list(_FIELDS)
        if wrong:
            raise EvaluationError(
                f"{path}, line {number} is no scored pair ({', '.join(wrong)}); each line is an "
                'object such as {"text1": "A cat.", "text2": "A dog.", "score": 1.5}'
            )
        rows.append(row)
    if len(rows) < 3:
        raise EvaluationError(f"{path} has {len(rows)} pairs; a correlation needs 3 or more")
    return SentencePairs(
        one=tuple(row["text1"] for row in rows),
        other=tuple(row["text2"] for row in rows),
        scores_P=np.array([row["score"] for row in rows], dtype=np.float64),
    )
