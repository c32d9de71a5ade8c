"""Numbers for the page's script: short, and never what JSON has no word for."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pandas as pd

from analysis.values import Floats

# Enough for a pixel on any screen, and for what a reader copies.
_DIGITS = 6


def rounded(value: float | None, digits: int = _DIGITS) -> float | int | None:
    """`value` to so many digits; None for what is not finite."""
    if value is None or not np.isfinite(value):
        return None
    short = float(f"{float(value):.{digits}g}")
    return int(short) if short.is_integer() and abs(short) < 2**53 else short


def numbers(values: Any) -> list[float | int | None]:
    return [rounded(value) for value in np.asarray(values, dtype=float).ravel()]


def exact(values: Floats) -> str:
    """Every bit of an array: little-endian float64, row by row, as base64."""
    return base64.b64encode(np.ascontiguousarray(values, dtype="<f8").tobytes()).decode()


def text(value: Any) -> str:
    """A label as text; empty where there is none."""
    if pd.isna(value):
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)
