"""Table: runs as checked rows, from records of a sweep or any CSV; exclusions carry reasons."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis import grouping
from analysis.errors import AnalysisError
from analysis.pooling import pooling_notes
from analysis.raw_table import CANONICAL
from analysis.read_csv import read_csv
from analysis.read_records import read_records
from analysis.read_sweep import read_sweep
from analysis.row_checks import AXES, kinds_of_reasons, mark_bad_values, mark_duplicates


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """Runs to analyse, one per row.

    Attributes:
        frame: the runs used; canonical columns, those that the source lacks are absent.
        excluded: the runs that are not, with the same columns and `reason`.
        columns: role (`n`, `d`, `c`, `loss`) -> the canonical column that plays it.
        labels: role or canonical column -> what a person reads on an axis, with its unit.
        notes: what was guessed or derived, one sentence each; a report prints them.
        provenance: where the rows came from.
        curve_points: training curves in long form; empty where the source has none.
        extra: columns of `frame` that are not canonical: the fields of the specs that differ
            between the runs, or a CSV's other columns with few values.
        by: what the groups are groups of, such as "arch" or "target_share,seed".
    """

    frame: pd.DataFrame
    excluded: pd.DataFrame
    columns: dict[str, str]
    labels: dict[str, str]
    notes: tuple[str, ...] = ()
    provenance: dict[str, Any] = field(default_factory=dict)
    curve_points: pd.DataFrame = field(default_factory=pd.DataFrame)
    extra: tuple[str, ...] = ()
    by: str = "group"

    def values(self, role: str) -> np.ndarray:
        """The column that plays `role`, as float64 [runs].

        Raises:
            AnalysisError: the table has no such column.
        """
        column = self.columns.get(role, role)
        if column not in self.frame:
            raise AnalysisError(
                f"the table has no column for {role}; it has {', '.join(self.frame.columns)}"
            )
        return self.frame[column].to_numpy(dtype=float)

    @property
    def loss_kinds(self) -> tuple[str, ...]:
        """The yardsticks of the losses in use, sorted; comparable only where there is one."""
        return tuple(sorted(self.frame["loss_kind"].unique()))

    @property
    def yardstick(self) -> str:
        """The yardstick in words."""
        kinds = self.loss_kinds
        return kinds[0] if len(kinds) == 1 else f"mixed: {', '.join(kinds)}"

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups, in order of first appearance; empty where there is no such column."""
        return tuple(self.frame["group"].unique()) if "group" in self.frame else ()

    @property
    def has_readings(self) -> bool:
        """Whether losses before the end of a run are known, in the unit of the table's loss."""
        points = self.curve_points
        return not points.empty and bool(points["loss_nats"].notna().any())

    def curves(self) -> pd.DataFrame:
        """Training curves in long form, one reading per row.

        Returns:
            run_id, group, params columns, train_tokens, train_flops (up to the reading), split,
            term, loss_nats (missing where the table's loss is known of ends alone, as bits per
            byte and the excess are).
        Raises:
            AnalysisError: the source has no curves.
        """
        if self.curve_points.empty:
            raise AnalysisError(
                "the table has no training curves; give a sweep folder, or a CSV with a run "
                "column and several rows per run"
            )
        return self.curve_points

    def select(self, **values: Any) -> Table:
        """The rows whose columns equal `values`, such as `group="gpt"`; labels stay."""
        keep = np.ones(len(self.frame), dtype=bool)
        gone = np.ones(len(self.excluded), dtype=bool)
        points = np.ones(len(self.curve_points), dtype=bool)
        for column, value in values.items():
            if column not in self.frame:
                raise AnalysisError(
                    f"the table has no column {column!r}; it has {', '.join(self.frame.columns)}"
                )
            keep &= (self.frame[column] == value).to_numpy()
            if column in self.excluded:
                gone &= (self.excluded[column] == value).to_numpy()
            if column in self.curve_points:
                points &= (self.curve_points[column] == value).to_numpy()
        return dataclasses.replace(
            self,
            frame=self.frame[keep].reset_index(drop=True),
            excluded=self.excluded[gone].reset_index(drop=True),
            curve_points=self.curve_points[points].reset_index(drop=True),
        )

    def exclude(self, mask: Sequence[bool] | np.ndarray | pd.Series, reason: str) -> Table:
        """Moves the rows under `mask` [runs] to `excluded`, with the reason."""
        out = np.asarray(mask, dtype=bool)
        if out.shape != (len(self.frame),):
            raise AnalysisError(f"a mask of shape {out.shape} for {len(self.frame)} runs")
        if not out.any():
            return self
        moved = self.frame[out].assign(reason=reason)
        return dataclasses.replace(
            self,
            frame=self.frame[~out].reset_index(drop=True),
            excluded=_stack(self.excluded, moved),
        )

    def restore(self, index: int) -> Table:
        """Puts row `index` of `excluded` back, for a look at what the exclusion decides.

        Raises:
            AnalysisError: the row lacks a finite positive N, D or loss.
        """
        row = self.excluded.iloc[[index]]
        axes = [self.columns[role] for role in AXES if role in self.columns]
        values = row.reindex(columns=axes).to_numpy(dtype=float)
        if not (np.isfinite(values) & (values > 0)).all():
            raise AnalysisError(
                f"run {row['run_id'].iloc[0]} has no finite N, D and loss; it stays excluded"
            )
        row = row.drop(columns="reason")
        if "status" in row:
            # Fitters take runs that are done; whoever restores a run asks for it as if it were.
            row = row.assign(status="done")
        return dataclasses.replace(
            self,
            frame=_stack(self.frame, row),
            excluded=self.excluded.drop(self.excluded.index[index]).reset_index(drop=True),
        )

    @property
    def group_columns(self) -> tuple[str, ...]:
        """Columns by which the runs may be grouped: their values differ and are few."""
        return grouping.group_columns(self)

    def grouped_by(self, by: str) -> Table:
        """The same runs with column `by` as their group; several columns joined by a comma.

        `group`, or the name in `by`, stands for the groups that the table has. A run without a
        value moves to `excluded`.

        Raises:
            AnalysisError: there is no such column; the message lists those that there are.
        """
        return grouping.grouped_by(self, by)

    def with_columns(self, **roles: str) -> Table:
        """The same runs with another counting convention, such as n="params_non_embedding"."""
        for role, column in roles.items():
            if column not in self.frame:
                raise AnalysisError(
                    f"the table has no column {column!r} for {role}; "
                    f"it has {', '.join(self.frame.columns)}"
                )
        labels = {role: self.labels.get(column, column) for role, column in roles.items()}
        return dataclasses.replace(
            self, columns={**self.columns, **roles}, labels={**self.labels, **labels}
        )


def load_table(
    source: str | Path | pd.DataFrame | Sequence[Any],
    *,
    columns: Mapping[str, str] | None = None,
    loss: str = "main",
    where: Mapping[str, str] | None = None,
) -> Table:
    """Reads runs from a sweep folder, a list of records or a CSV, and checks them.

    Args:
        source: a folder `runs/<sweep>/` with cells.json; records, as dicts or with `to_dict`; a
            .csv or .csv.gz file; or a frame that is treated like one.
        columns: for a CSV, role (`n`, `d`, `c`, `loss`, `group`, `seed`, ...) -> column name;
            the others are recognised by name. `group` may join columns: "dataset,warmup".
        loss: `main` (the token term of the objective), `bits_per_byte`, `excess` (over the Bayes
            optimum, where records know it), or the name of a term (records) or column (CSV).
        where: for a CSV, column -> value; other rows are left out and counted in the notes.
    Raises:
        AnalysisError: a column is missing or ambiguous, a cell is no number, or the loss of a
            CSV is NaN. One line each, with the remedy.

    >>> from analysis import load_table
    >>> from analysis.examples import planted_runs
    >>> runs = planted_runs()
    >>> runs.loc[3, "loss"] = -1.0
    >>> table = load_table(runs)
    >>> len(table.frame), table.columns["n"]
    (18, 'params_total')
    >>> table.excluded["reason"].tolist()
    ['loss_nats is -1; it must be finite and positive']
    """
    if isinstance(source, (str, Path)) and Path(source).is_dir():
        raw = read_sweep(Path(source), loss=loss)
    elif isinstance(source, (str, Path, pd.DataFrame)):
        raw = read_csv(source, columns=dict(columns or {}), loss=loss, where=dict(where or {}))
    else:
        raw = read_records(source, loss=loss)
    frame = raw.frame
    names = dict.fromkeys((*CANONICAL, *raw.extra, "reason"))
    frame = frame[[name for name in names if name in frame]]
    frame = mark_bad_values(frame, raw.columns)
    frame, notes = mark_duplicates(frame, raw.columns, raw.extra)
    kept = (frame["reason"] == "").to_numpy()
    notes += pooling_notes(frame[kept], raw.columns["n"])
    table = Table(
        frame=frame[kept].drop(columns="reason").reset_index(drop=True),
        excluded=frame[~kept].reset_index(drop=True),
        columns=raw.columns,
        labels=raw.labels,
        notes=(*raw.notes, *notes),
        provenance=raw.provenance,
        curve_points=raw.curve_points,
        extra=tuple(name for name in raw.extra if name not in CANONICAL),
        by=raw.by,
    )
    if table.frame.empty:
        why = kinds_of_reasons(table.excluded["reason"])
        raise AnalysisError(f"{raw.provenance['source']}: no usable run; {why or 'it is empty'}")
    return table


def _stack(frame: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Both frames under each other; an empty one must not decide a dtype."""
    parts = [part for part in (frame, rows) if len(part)]
    return pd.concat(parts, ignore_index=True) if parts else frame
