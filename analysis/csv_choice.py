"""What is taken of a CSV: the rows and columns that the user chose, and what no guess can fill."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.columns import canonical_n, option_of, text_column
from analysis.errors import AnalysisError
from analysis.grouping import joined_labels


def chosen_rows(
    raw: pd.DataFrame, where: dict[str, str], name: str
) -> tuple[pd.DataFrame, list[str]]:
    keep = np.ones(len(raw), dtype=bool)
    for column, value in where.items():
        if column not in raw:
            raise AnalysisError(f"{name} has no column {column!r}; it has {_listed(raw)}")
        keep &= (raw[column].astype(str) == str(value)).to_numpy()
    if not keep.any():
        raise AnalysisError(f"{name}: no row has {where}; name values that the columns hold")
    left_out = int((~keep).sum())
    chosen = ", ".join(f"{k}={v}" for k, v in where.items())
    notes = [f"{left_out} rows are left out by the choice {chosen}"] if left_out else []
    return raw[keep].reset_index(drop=True), notes


def _listed(raw: pd.DataFrame) -> str:
    names = [str(c) for c in raw.columns if c != "row"]
    return ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")


def chosen_columns(
    raw: pd.DataFrame, columns: dict[str, str], loss: str, name: str
) -> dict[str, str]:
    """The user's choices as canonical role -> column; joins several columns into a group."""
    canonical = {"d": "train_tokens", "c": "train_flops"}
    chosen = dict(columns)
    if loss not in ("main", "bits_per_byte"):
        chosen["loss"] = loss
    given: dict[str, str] = {}
    for role, column in chosen.items():
        parts = [part.strip() for part in column.split(",")] if role == "group" else [column]
        for part in parts:
            if part not in raw:
                option = option_of(canonical.get(role, role))
                raise AnalysisError(
                    f"{name} has no column {part!r} ({option}); it has {_listed(raw)}"
                )
        if len(parts) > 1:
            raw[column] = joined_labels(raw, parts)
        given[canonical_n(column) if role == "n" else canonical.get(role, role)] = column
    if loss == "bits_per_byte":
        found = [c for c in raw.columns if str(c).lower() in ("bits_per_byte", "bpb")]
        if not found:
            raise AnalysisError(f"{name} has no column bits_per_byte; it has {_listed(raw)}")
        given["loss"] = given["bits_per_byte"] = found[0]
    return given


def require_axes(found: dict[str, str], raw: pd.DataFrame, name: str) -> None:
    """One line for what no guess can fill."""
    has_n = "params_total" in found or "params_non_embedding" in found
    has_horizon = "train_tokens" in found or "train_flops" in found
    lacking: dict[str, tuple[str, ...]] = {}
    if "loss" not in found:
        lacking["loss (--loss)"] = ("loss",)
    if not has_n:
        lacking["N, the parameters (--n)"] = ("params_total",)
    if has_n and not has_horizon:
        named = "D, the training tokens (--d), or C, the FLOPs (--c)"
        lacking[named] = ("train_tokens", "train_flops")
    for role in (role for roles in lacking.values() for role in roles):
        column = text_column(raw, role)
        if column is not None:
            raise AnalysisError(
                f"{name}: no value of column {column!r} is a number, such as "
                f"{raw[column].dropna().iloc[0]!r}; write digits, such as 1.5e9"
            )
    if lacking:
        raise AnalysisError(
            f"{name}: no column is recognised as {' nor '.join(lacking)}; "
            f"it has {_listed(raw)}: name yours by the option"
        )
