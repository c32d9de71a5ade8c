"""A measurement for tests: the norm of a model's weights, and what a file says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from scaling.evaluate import MEASUREMENTS
from scaling.evaluate.measurement import (
    Measurement,
    Report,
    Trained,
    Weights,
    fingerprint,
    place,
)

NAME = "weight_norm"


@dataclass(frozen=True, kw_only=True)
class Options:
    power: float = 2.0
    parts: tuple[int, ...] = (1,)
    kind: Literal["sum", "mean"] = "sum"
    weights: Weights = "trained"
    words: str | None = place()


def measure(trained: Trained, options: Options, report: Report) -> dict[str, Any]:
    total = 0.0
    parameters = list(trained.model.parameters())
    for number, parameter in enumerate(parameters):
        total += float(parameter.detach().abs().pow(options.power).sum())
        report(number + 1, len(parameters))
    if options.power < 0:
        raise ValueError("a negative power was asked for")
    found = {"norm": total, "by_part": {"first": 1.0, "rest": [1, 2, 3]}, "words": None}
    if options.words is None:
        return found | {"missing": {"words": "no file of words was given"}}
    return found | {
        "words": Path(options.words).read_text(),
        "documents": trained.text.train.n_documents,
    }


def data(options: Options) -> dict[str, str]:
    return {} if options.words is None else {"words": fingerprint(Path(options.words))}


WEIGHT_NORM = Measurement(options=Options, measure=measure, data=data)


def known(monkeypatch: Any) -> None:
    """Names the measurement in the dict of measurements, for this process."""
    monkeypatch.setitem(MEASUREMENTS, NAME, "tests.measured:WEIGHT_NORM")
