"""Runs: the rows of a table that enter a fit, checked, sorted and freed of their units.

Rows are sorted by their values, so that a fit does not depend on the order of the table. A row
never goes missing: it is fitted, listed with a reason, or the reason for an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from analysis.clusters import Ints, cluster_ids, run_weights, size_ids
from analysis.errors import AnalysisError
from analysis.laws.law import Floats, Law
from analysis.positive import positive
from analysis.values import Axis

__all__ = ["Runs", "read_runs", "size_ids"]

DEFAULT_COLUMNS = {
    "n": "params_non_embedding",
    "d": "train_tokens",
    "c": "train_flops",
    "u": "unique_tokens",
    "loss": "loss_nats",
}
UNITS = {
    "params_total": "params (total)",
    "params_non_embedding": "params (non-embedding)",
    "train_tokens": "tokens",
    "unique_tokens": "unique tokens",
    "train_flops": "FLOPs (exact)",
    "train_flops_6nd": "FLOPs (6ND)",
    "budget_flops": "FLOPs (budget)",
    "loss_nats": "nats per target",
    "bits_per_byte": "bits per byte",
    "excess_nats": "nats per target over the Bayes optimum",
}
ROLE_UNITS = {"n": "params", "d": "tokens", "c": "FLOPs", "u": "unique tokens", "loss": "loss"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Runs:
    """Checked runs in sorted order, n of them.

    Attributes:
        values: role -> value [n] in the unit of its column; the law's axes and `loss`.
        scales: role -> geometric mean.
        log_axes, log_loss: logarithms over the scales.
        weight: [n], mean 1.
        clusters: ids [n] from coarse to fine, each nested in the one before; empty for runs.
        cluster: what a cluster is, in words.
        position: [n] row of the table; names: [n] names of the runs.
    """

    law: Law
    values: Mapping[str, Floats]
    scales: Mapping[str, float]
    log_axes: Mapping[str, Floats]
    log_loss: Floats
    weight: Floats
    clusters: tuple[Ints, ...]
    cluster: str
    position: Ints
    names: NDArray[Any]
    axes: Mapping[str, Axis]
    excluded: pd.DataFrame

    @property
    def n_runs(self) -> int:
        return len(self.log_loss)


def read_runs(
    table: Any,
    law: Law,
    *,
    columns: Mapping[str, str | None],
    cluster: str,
    weights: str | ArrayLike | None,
) -> Runs:
    """Checks the rows of a DataFrame or a Table for `law`.

    Args:
        columns: role -> column, None for the Table's own or the canonical one.
        cluster: "size", "run", "seed" or a column.
        weights: None, "seeds", a column, or one positive number per row.
    Raises:
        AnalysisError: a column is missing, a value is not finite and positive, or there are
            fewer runs than parameters. One line each, with the remedy.
    """
    kinds = getattr(table, "loss_kinds", ())
    if len(kinds) > 1:
        raise AnalysisError(
            f"no law runs through losses on {len(kinds)} yardsticks ({', '.join(kinds)}): group "
            "by loss_kind, or use bits_per_byte"
        )
    frame, excluded = _usable_rows(table)
    names = _run_names(frame)
    chosen = _choose_columns(table, frame, law, columns)
    raw = {role: positive(frame, column, names) for role, column in chosen.items()}
    if len(frame) < len(law.parameters):
        raise AnalysisError(
            f"{len(frame)} runs for the {len(law.parameters)} parameters of {law.name!r}; "
            f"add runs or choose a law with fewer parameters"
        )
    ids, cluster_label = cluster_ids(frame, raw, cluster)
    weight = run_weights(frame, raw, law, weights, names)
    order = np.lexsort((names.astype(str), weight, *ids, *raw.values()))
    values = {role: value[order] for role, value in raw.items()}
    scales = {role: float(np.exp(np.log(value).mean())) for role, value in values.items()}
    if "u" in scales:
        scales["u"] = scales["d"]  # so that D / U is a number of passes
    logs = {role: np.log(value / scales[role]) for role, value in values.items()}
    sorted_weight = weight[order]
    return Runs(
        law=law,
        values=values,
        scales=scales,
        log_axes={role: logs[role] for role in law.axes},
        log_loss=logs["loss"],
        weight=sorted_weight / sorted_weight.mean(),
        clusters=tuple(level[order] for level in ids),
        cluster=cluster_label,
        position=order,
        names=names[order],
        axes={role: _axis(table, role, chosen[role], values[role]) for role in values},
        excluded=excluded,
    )


def _usable_rows(table: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows to fit, and run and reason of the others."""
    frame = table if isinstance(table, pd.DataFrame) else table.frame
    gone = [pd.DataFrame({"run": [], "reason": []}, dtype=str)]
    listed = getattr(table, "excluded", None)
    if listed is not None and len(listed):
        reason = listed.get("reason", "excluded by the table")
        gone.append(pd.DataFrame({"run": _run_names(listed), "reason": reason}))
    if "status" in frame:
        other = frame["status"].notna() & (frame["status"].astype(str) != "done")
        if other.any():
            why = "status is " + frame.loc[other, "status"].astype(str)
            gone.append(pd.DataFrame({"run": _run_names(frame)[other.to_numpy()], "reason": why}))
            frame = frame[~other]
    filled = [part for part in gone if len(part)] or gone[:1]
    return frame, pd.concat(filled, ignore_index=True)


def _run_names(frame: pd.DataFrame) -> NDArray[Any]:
    column = frame["run_id"] if "run_id" in frame else frame.index.to_series()
    return column.astype(str).to_numpy(dtype=object)


def _choose_columns(
    table: Any, frame: pd.DataFrame, law: Law, columns: Mapping[str, str | None]
) -> dict[str, str]:
    own = getattr(table, "columns", None)
    own = own if isinstance(own, dict) else {}
    chosen = {}
    # N is read where it is there, whatever the law: it tells which runs are of one size.
    for role in dict.fromkeys((*law.axes, "n", "loss")):
        column = columns.get(role) or own.get(role) or DEFAULT_COLUMNS[role]
        if column in frame:
            chosen[role] = column
        elif role in law.axes or role == "loss":
            raise AnalysisError(
                f"no column {column!r} for {role}, which {law.name!r} needs; name one with "
                f"{role}=..., the table has: {', '.join(map(str, frame.columns))}"
            )
    return chosen


def _axis(table: Any, role: str, column: str, values: Floats) -> Axis:
    labels = getattr(table, "labels", None)
    unit = UNITS.get(column, f"{ROLE_UNITS[role]} ({column})")
    if isinstance(labels, dict) and column not in UNITS:
        unit = str(labels.get(role, labels.get(column, unit)))
    if role == "n":
        n_distinct = int(size_ids(values).max()) + 1
    else:
        n_distinct = len(np.unique(values))
    return Axis(role=role, column=column, unit=unit, low=float(values.min()),
                high=float(values.max()), n_distinct=n_distinct)  # fmt: skip
