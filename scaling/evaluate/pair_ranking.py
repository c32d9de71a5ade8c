"""Measurement `minimal_pairs`: how often a model ranks the good sentence of a pair first.

Models of the next token rank by log-likelihood, models of masked tokens by the word-l2r
pseudo-log-likelihood: see `scaling.evaluate.sentence_scores`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scaling.errors import SweepError
from scaling.evaluate.measurement import (
    Measurement,
    Report,
    Trained,
    Weights,
    fingerprint,
    place,
)
from scaling.evaluate.minimal_pairs import (
    first_of_each,
    has_frequent_words,
    ranking,
    read_pairs,
    word_counts,
)
from scaling.evaluate.sentence_scores import sentence_scores
from scaling.objectives import OBJECTIVES


@dataclass(frozen=True, kw_only=True)
class Options:
    """Attributes:
    pairs: path of a .jsonl or .jsonl.gz file with `good`, `bad` and, where they are, `uid` (the
        paradigm) and `phenomenon` in each line.
    per_paradigm: the first so many pairs of each paradigm; 0 for all.
    min_count: pairs whose words all occur so often in the training text are also ranked apart.
    """

    pairs: str | None = place()
    per_paradigm: int = 0
    min_count: int = 10
    weights: Weights = "trained"

    def __post_init__(self) -> None:
        if self.pairs is None:
            raise SweepError("minimal_pairs needs pairs: set pairs=PATH of a .jsonl file of pairs")
        for name in ("per_paradigm", "min_count"):
            if getattr(self, name) < 0:
                raise SweepError(f"{name}={getattr(self, name)} is negative; give 0 or more")


def measure(trained: Trained, options: Options, report: Report) -> dict[str, Any]:
    """Shares of pairs ranked right, over all pairs and over those of frequent words."""
    assert options.pairs is not None
    pairs = first_of_each(read_pairs(Path(options.pairs)), options.per_paradigm)
    total = 2 * len(pairs)

    def scores(sentences: list[str], done_before: int) -> np.ndarray:
        return sentence_scores(
            trained.model, trained.spec, trained.text.tokenizer, sentences, device=trained.device,
            on_progress=lambda done: report(done_before + done, total),
        )  # fmt: skip

    good = scores([pair.good for pair in pairs], 0)
    bad = scores([pair.bad for pair in pairs], len(pairs))
    counts = word_counts(trained.text)
    frequent = np.array([has_frequent_words(pair, counts, options.min_count) for pair in pairs])
    known = [pair for pair, is_known in zip(pairs, frequent, strict=True) if is_known]
    predicts_next = OBJECTIVES[trained.spec.objective].predicts_next
    values: dict[str, Any] = {
        "score": "log-likelihood" if predicts_next else "word-l2r pseudo-log-likelihood",
        "all": ranking(pairs, good, bad),
        "frequent_words": ranking(known, good[frequent], bad[frequent]),
    }
    missing = {
        f"{name}.mean_over_paradigms": "no pair has a score"
        for name in ("all", "frequent_words")
        if values[name]["mean_over_paradigms"] is None
    }
    return values | {"missing": missing}


def _fingerprints(options: Options) -> dict[str, str]:
    assert options.pairs is not None
    read_pairs(Path(options.pairs))  # what is wrong is said before anything is trained
    return {"pairs": fingerprint(Path(options.pairs))}


MINIMAL_PAIRS = Measurement(options=Options, measure=measure, data=_fingerprints)
