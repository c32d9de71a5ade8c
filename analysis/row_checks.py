"""Checks of the rows of a table: values that cannot be analysed, and runs that are there twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.positive import RANGE, in_range

# Roles whose values must be finite and positive, with room for products of them.
AXES = ("n", "d", "c", "loss")

_NUMBER = r"-?\b\d[\d.]*(?:e[-+]?\d+)?\b"
# Reasons that one line tells.
_MOST_KINDS = 3


def mark_bad_values(frame: pd.DataFrame, columns: Mapping[str, str]) -> pd.DataFrame:
    """Gives a reason to rows whose axes are not finite and positive."""
    reasons = [str(reason) for reason in frame["reason"]]
    for role in AXES:
        column = columns.get(role, "")
        if column not in frame:
            continue
        for position, value in enumerate(frame[column].to_numpy(dtype=float)):
            if not reasons[position] and not (np.isfinite(value) and value > 0):
                word = "missing" if np.isnan(value) else f"{value:g}"
                reasons[position] = f"{column} is {word}; it must be finite and positive"
            elif not reasons[position] and not in_range(value):
                reasons[position] = f"{column} is {value:g}; choose a unit that puts it {RANGE}"
    return frame.assign(reason=reasons)


def mark_duplicates(
    frame: pd.DataFrame, columns: Mapping[str, str], settings: Sequence[str] = ()
) -> tuple[pd.DataFrame, list[str]]:
    """Excludes rows that are there twice; notes rows of one N, D, C, seed that differ in loss.

    Args:
        settings: columns in which two different runs may differ alone.
    """
    frame = frame.reset_index(drop=True)
    reasons = [str(reason) for reason in frame["reason"]]
    axes = [columns[r] for r in ("n", "d", "c") if columns.get(r) in frame]
    same_run = [
        *axes,
        *dict.fromkeys(name for name in ("seed", "group", "size", *settings) if name in frame),
    ]
    good = frame[frame["reason"] == ""]
    repeats: dict[int, int] = {}
    for keys in (["run_id"], [*same_run, columns["loss"]]):
        firsts: dict[Any, int] = {}
        # A missing value equals another missing one, which NaN does not.
        values = good[keys].astype(object).where(good[keys].notna(), None)
        for position, key in zip(good.index, values.itertuples(index=False), strict=True):
            first = firsts.setdefault(tuple(key), int(position))
            if first != position:
                repeats.setdefault(int(position), first)
    for position, first in repeats.items():
        reasons[position] = _duplicate_reason(frame.iloc[first], frame.iloc[position], axes)
    twice = int(good.drop(index=list(repeats)).duplicated(same_run, keep=False).sum())
    notes = []
    if twice:
        notes.append(
            f"{twice} runs share {', '.join(same_run)} with another and differ in loss; they are "
            "kept as repeats, so say so with a seed column if they are"
        )
    return frame.assign(reason=reasons), notes


def _duplicate_reason(first: pd.Series, other: pd.Series, axes: list[str]) -> str:
    """Names the run that is kept, and the axes on which the two disagree."""
    differ = [f"{name} {first[name]:g} and {other[name]:g}" for name in axes
              if not np.isclose(first[name], other[name], rtol=1e-6)]  # fmt: skip
    conflict = f", although with {'; '.join(differ)}" if differ else ""
    return f"duplicate of run {first['run_id']}{conflict}"


def kinds_of_reasons(reasons: pd.Series) -> str:
    """How many rows have each reason, in one line; reasons that differ in numbers are one kind."""
    kinds = reasons.str.replace(_NUMBER, "#", regex=True)
    counts = kinds.value_counts()
    parts = []
    for kind, count in counts.iloc[:_MOST_KINDS].items():
        alike = reasons[kinds == kind]
        parts.append(f"{count} {'such as ' if alike.nunique() > 1 else ''}{alike.iloc[0]}")
    more = int(counts.iloc[_MOST_KINDS:].sum())
    return "; ".join([*parts, f"{more} for other reasons"] if more else parts)


def unigram_reason(nats: float, unigram_nats: float) -> str:
    """Why a run that has learned nothing of the order of its tokens is not used."""
    return f"the run does not beat the unigram code ({nats:.4g} against {unigram_nats:.4g} nats)"
