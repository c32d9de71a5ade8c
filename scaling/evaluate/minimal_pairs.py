"""Minimal pairs, such as BLiMP: how often a model ranks the good sentence over the bad one.

A pair that the model scores alike counts one half. A paradigm is a set of pairs made by one
template; paradigms make up phenomena, and the headline is the mean over paradigms.

Source: Warstadt et al. 2020, arXiv:1912.00582, section 3.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scaling.errors import EvaluationError
from scaling.evaluate.intervals import mean_interval, wilson
from scaling.jsonl import read_rows
from scaling.text import Text

_EXAMPLE = '{"good": "She runs.", "bad": "She run."}'
_WORD = re.compile(r"[\w'-]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class MinimalPair:
    """Two sentences of which one is right.

    Attributes:
        paradigm: what made the pair; `phenomenon` what it tests.
    """

    good: str
    bad: str
    paradigm: str = "pairs"
    phenomenon: str = "pairs"


def read_pairs(path: Path) -> list[MinimalPair]:
    """Pairs of a .jsonl or .jsonl.gz file with `good`, `bad` and, where they are, `uid` (the
    paradigm) and `phenomenon` in each line.

    Raises:
        EvaluationError: a row lacks a sentence, or there is no row.
    """
    pairs = []
    for where, row in read_rows(path, error=EvaluationError, example=_EXAMPLE):
        for name in ("good", "bad"):
            if not isinstance(row.get(name), str) or not row[name].strip():
                raise EvaluationError(
                    f"{where} has no sentence in the field {name!r}; each line is an object such "
                    f"as {_EXAMPLE}"
                )
        paradigm = str(row.get("uid", row.get("phenomenon", "pairs")))
        pairs.append(
            MinimalPair(
                good=row["good"], bad=row["bad"], paradigm=paradigm,
                phenomenon=str(row.get("phenomenon", paradigm)),
            )
        )  # fmt: skip
    if not pairs:
        raise EvaluationError(f"{path} holds no pair; each line is one, such as {_EXAMPLE}")
    return pairs


def first_of_each(pairs: Sequence[MinimalPair], per_paradigm: int) -> list[MinimalPair]:
    """The first pairs of each paradigm; all of them for 0."""
    if per_paradigm == 0:
        return list(pairs)
    seen: Counter[str] = Counter()
    chosen = []
    for pair in pairs:
        seen[pair.paradigm] += 1
        if seen[pair.paradigm] <= per_paradigm:
            chosen.append(pair)
    return chosen


def word_counts(text: Text) -> Counter[str]:
    """How often each word occurs in the training split, without regard to case."""
    counts: Counter[str] = Counter()
    starts, ids = text.train.document_starts, text.train.ids
    for first, end in itertools.pairwise(starts.tolist()):
        counts.update(_WORD.findall(text.tokenizer.decode(ids[first:end]).lower()))
    return counts


def has_frequent_words(pair: MinimalPair, counts: Counter[str], min_count: int) -> bool:
    """Whether each word of both sentences occurs at least `min_count` times."""
    words = _WORD.findall(f"{pair.good} {pair.bad}".lower())
    return all(counts[word] >= min_count for word in words)


def ranking(
    pairs: Sequence[MinimalPair], good_nats: np.ndarray, bad_nats: np.ndarray
) -> dict[str, Any]:
    """Accuracy over all pairs with a score, per phenomenon and per paradigm.

    Args:
        good_nats, bad_nats: scores of the sentences; NaN where one has none.
    Returns:
        `mean_over_paradigms` with a t interval over them, `phenomena` and `paradigms` with a
        Wilson interval each, and `unscored`, the pairs that were left out.
    """
    scored = ~(np.isnan(good_nats) | np.isnan(bad_nats))
    credit = np.where(good_nats > bad_nats, 1.0, np.where(good_nats == bad_nats, 0.5, 0.0))

    def by(name: Callable[[MinimalPair], str]) -> dict[str, dict[str, Any]]:
        groups: dict[str, list[float]] = {}
        for pair, is_scored, value in zip(pairs, scored, credit, strict=True):
            if is_scored:
                groups.setdefault(name(pair), []).append(float(value))
        return {group: _accuracy(values) for group, values in sorted(groups.items())}

    paradigms = by(lambda pair: pair.paradigm)
    return {
        "mean_over_paradigms": _mean([found["accuracy"] for found in paradigms.values()]),
        "pairs": int(scored.sum()),
        "ties": int((scored & (good_nats == bad_nats)).sum()),
        "unscored": int((~scored).sum()),
        "phenomena": by(lambda pair: pair.phenomenon),
        "paradigms": paradigms,
    }


def _accuracy(credit: Sequence[float]) -> dict[str, Any]:
    low, high = wilson(sum(credit), len(credit))
    return {"accuracy": sum(credit) / len(credit), "pairs": len(credit), "low": low, "high": high}


def _mean(accuracies: Sequence[float]) -> dict[str, Any] | None:
    if not accuracies:
        return None
    mean = float(np.mean(accuracies))
    if len(accuracies) == 1:
        return {"accuracy": mean, "paradigms": 1, "low": None, "high": None}
    low, high = mean_interval(accuracies)
    return {"accuracy": mean, "paradigms": len(accuracies), "low": low, "high": high}
