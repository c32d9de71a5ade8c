"""Which columns of a table may hold its groups, and the same runs grouped by another one."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from analysis.columns import MAX_GROUPS
from analysis.errors import AnalysisError
from analysis.pooling import pooling_notes

if TYPE_CHECKING:
    from analysis.table import Table

# Canonical columns that name groups.
_GROUP_COLUMNS = ("size", "seed", "objective", "loss_kind", "budget_flops", "sweep")


def group_columns(table: Table) -> tuple[str, ...]:
    """See `Table.group_columns`."""
    frame = table.frame
    first = () if table.by in frame else ("group",)
    names = [name for name in (*first, *table.extra, *_GROUP_COLUMNS) if name in frame]
    counts = {name: frame[name].nunique() for name in dict.fromkeys(names)}
    return tuple(name for name, count in counts.items() if 1 < count <= MAX_GROUPS)


def grouped_by(table: Table, by: str) -> Table:
    """See `Table.grouped_by`."""
    stands_for = {} if table.by in table.frame else {table.by: "group"}
    names = [stands_for.get(name.strip(), name.strip()) for name in by.split(",")]
    if names == ["group"]:
        return table
    for name in names:
        if name not in table.frame:
            known = ", ".join(group_columns(table)) or "none, the runs differ in no setting"
            raise AnalysisError(
                f"the table has no column {name!r} (--by), or all of its runs share it; "
                f"columns to group by: {known}"
            )
    has_value = table.frame[names].notna().all(axis=1)
    table = table.exclude(~has_value, f"no value of {by}, by which the runs are grouped")
    frame = table.frame.assign(group=joined_labels(table.frame, names))
    excluded, points = table.excluded, table.curve_points
    if len(excluded):
        excluded = excluded.assign(group=joined_labels(excluded, names))
    if len(points):
        group_of = dict(zip(frame["run_id"], frame["group"], strict=True))
        points = points.assign(group=points["run_id"].map(group_of))
    n_column = table.columns["n"]
    before = pooling_notes(table.frame, n_column)
    notes = [note for note in table.notes if note not in before]
    return dataclasses.replace(
        table, frame=frame, excluded=excluded, curve_points=points, by=",".join(names),
        notes=(*notes, *pooling_notes(frame, n_column)),
    )  # fmt: skip


def joined_labels(frame: pd.DataFrame, names: Sequence[str]) -> pd.Series:
    """The columns as one label per row; None where one of them has no value."""
    values = frame.reindex(columns=list(names)).astype(object)
    rows = values.itertuples(index=False, name=None)
    labels = [None if any(map(pd.isna, row)) else "/".join(map(label_of, row)) for row in rows]
    return pd.Series(labels, index=frame.index, dtype=object)


def label_of(value: object) -> str:
    """A whole number without a point: a column with gaps holds its integers as floats."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
