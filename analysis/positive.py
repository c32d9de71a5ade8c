"""A column as numbers that have a logarithm, or one line that lists the rows that do not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.errors import AnalysisError
from analysis.laws.law import Floats

_LISTED_ROWS = 5
# Beyond this, products of values leave the range of floats.
_LARGEST = 1e100
RANGE = f"between {1 / _LARGEST:g} and {_LARGEST:g}"


def in_range(values: Floats | float) -> NDArray[np.bool_]:
    """Which values have a logarithm and leave room for products; a NaN does not."""
    return np.asarray((values > 1 / _LARGEST) & (values < _LARGEST))


def positive(frame: pd.DataFrame, column: str, names: NDArray[Any]) -> Floats:
    """The column as float64 [n].

    Args:
        names: [n], names of the runs for the message.
    Raises:
        AnalysisError: a value is missing, no number, not positive or out of range.
    """
    values = pd.to_numeric(frame[column], errors="coerce").to_numpy(dtype=float)
    bad = np.flatnonzero(~in_range(values))
    if bad.size:
        shown = ", ".join(
            f"row {i} (run {names[i]}) = {frame[column].iloc[i]}" for i in bad[:_LISTED_ROWS]
        )
        more = f" and {bad.size - _LISTED_ROWS} more" if bad.size > _LISTED_ROWS else ""
        raise AnalysisError(
            f"{column} must be finite and positive, {RANGE}, in every run: {shown}{more}; "
            f"correct these rows or exclude them with a reason"
        )
    return np.asarray(values, dtype=float)
