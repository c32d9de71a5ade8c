"""Numbers with their uncertainty: intervals, estimates, flags, axes, predictions, optima."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Severity = Literal["note", "warning", "failure"]
Status = Literal["ok", "flagged", "failed"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """One interval and the way it was made."""

    low: float
    high: float
    level: float
    method: str  # "bootstrap by run", "bootstrap by size", "profile F", ...
    n_draws: int | None = None

    @property
    def width(self) -> float:
        return self.high - self.low


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """A fitted or derived number; `interval` is the widest of `intervals`, the one to print."""

    name: str
    value: float
    unit: str
    standard_error: float | None = None
    interval: Interval | None = None
    intervals: tuple[Interval, ...] = ()
    meaning: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Flag:
    """Something that a reader must know; `code` is for programs, `message` for people."""

    code: str
    message: str
    severity: Severity = "warning"
    parameter: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Axis:
    """A column of the table in the role of N, D, C, U (unique tokens) or loss."""

    role: str
    column: str
    unit: str
    low: float
    high: float
    n_distinct: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Prediction:
    """Predicted loss at each point; the interval is of the curve, without the noise of a run."""

    loss: Floats
    low: Floats | None
    high: Floats | None
    method: str
    extrapolates: NDArray[np.bool_]  # the point lies outside the range of the fitted runs


@dataclass(frozen=True, kw_only=True, slots=True)
class Optimum:
    """The split of one compute budget that the law expects to give the lowest loss."""

    flops: float
    params: Estimate
    tokens: Estimate
    loss: Estimate
    tokens_per_param: float
    convention: str  # such as "C = 6 N D with N = params_non_embedding"
    extrapolation: float  # flops / largest flops among the fitted runs
    flags: tuple[Flag, ...] = ()
