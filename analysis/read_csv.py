"""Reads any CSV of runs, or of training curves, into canonical columns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from analysis.columns import may_name_groups, recognise
from analysis.csv_choice import chosen_columns, chosen_rows, require_axes
from analysis.csv_file import open_csv
from analysis.csv_labels import loss_kind_of, quoted_labels
from analysis.errors import AnalysisError
from analysis.grouping import joined_labels
from analysis.raw_table import CANONICAL, RawTable, labels_for
from analysis.row_checks import unigram_reason

# First data row of a file whose line 1 is the header.
_FIRST_LINE = 2

_NUMBERS = (
    "params_total", "params_non_embedding", "train_tokens", "train_flops", "train_flops_6nd",
    "unique_tokens", "budget_flops", "loss_standard_error", "bits_per_byte",
)  # fmt: skip

# Nobody counts FLOPs so differently; units are.
_FAR_FROM_6ND = 10.0

# A run column with at least this many rows per run holds training curves.
_MIN_CURVE_POINTS = 3


def read_csv(
    source: str | Path | pd.DataFrame,
    *,
    columns: dict[str, str],
    loss: str,
    where: dict[str, str],
) -> RawTable:
    """Reads a CSV of runs; see `analysis.table.load_table` for the arguments and errors."""
    raw, name, of_file = _read(source)
    raw = raw.assign(row=np.arange(_FIRST_LINE, _FIRST_LINE + len(raw)))
    raw, notes = chosen_rows(raw, where, name)
    given = chosen_columns(raw, columns, loss, name)
    found, rivals = recognise(raw.drop(columns="row"), given=given, source=name)
    require_axes(found, raw, name)
    frame = pd.DataFrame({"row": raw["row"]})
    for role in _NUMBERS:
        if role in found:
            frame[role] = _numbers(raw, found[role], name)
    loss_column = "bits_per_byte" if found["loss"] == found.get("bits_per_byte") else "loss_nats"
    frame[loss_column] = _numbers(raw, found["loss"], name)
    for role in ("run_id", "group", "size", "status"):
        if role in found:
            frame[role] = joined_labels(raw, [found[role]])
    if "seed" in found:
        frame["seed"] = raw[found["seed"]]
    extra = _extra_columns(raw, found, frame)
    frame = frame.assign(**{name: raw[name] for name in extra})
    notes += of_file + rivals + _ungrouped(frame, extra) + _derive(frame) + _units(frame)
    frame["loss_kind"], kind_note = loss_kind_of(frame, raw, found, loss_column)
    points = _curve_points(frame, loss_column, found["loss"])
    if len(points):
        last = frame.groupby(["run_id", _n_column(frame)], sort=False)["train_flops"].idxmax()
        notes.append(
            f"{len(frame)} rows of {len(last)} runs are read as training curves; the last "
            "reading of each run is its row"
        )
        frame = frame.loc[last.to_numpy()].reset_index(drop=True)
    frame = _identify(frame)
    reasons = _reasons(frame, found, loss_column, name)
    frame = frame.assign(reason=_with_unigram(reasons, frame, raw))
    roles = _roles(frame, found, loss_column)
    return RawTable(
        frame=frame,
        columns=roles,
        labels=labels_for(roles, frame, **quoted_labels(found, frame, loss_column)),
        notes=tuple(notes + kind_note),
        provenance={"source": name, "rows": len(raw), "column_of": found, "where": where},
        curve_points=points,
        extra=extra,
        by=found.get("group", "group"),
    )


def _read(source: str | Path | pd.DataFrame) -> tuple[pd.DataFrame, str, list[str]]:
    """The rows as they are, the name of their source, and notes."""
    if isinstance(source, pd.DataFrame):
        raw, name, notes = source.reset_index(drop=True), "frame", list[str]()
        if not raw.columns.is_unique:
            twice = raw.columns[raw.columns.duplicated()][0]
            raise AnalysisError(f"the frame has several columns {twice!r}; rename all but one")
    else:
        name = Path(source).name
        raw, notes = open_csv(Path(source))
    if raw.empty:
        raise AnalysisError(f"{name} has no rows; a fit needs runs")
    return raw, name, notes


def _numbers(raw: pd.DataFrame, column: str, name: str) -> pd.Series:
    """The column as float64; text that is no number is an error with its line."""
    values = pd.to_numeric(raw[column], errors="coerce").astype(float)
    wrong = values.isna() & raw[column].notna()
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        raise AnalysisError(
            f"{name} line {raw['row'].iloc[first]}: {column}={raw[column].iloc[first]!r} is not a "
            "number; write digits, such as 1.5e9"
        )
    return values


def _extra_columns(
    raw: pd.DataFrame, found: dict[str, str], frame: pd.DataFrame
) -> tuple[str, ...]:
    """Columns without a role whose few values may name groups."""
    taken = {*found.values(), *frame.columns, *CANONICAL, "reason"}
    return tuple(
        str(c) for c in raw.columns
        if c not in taken and raw[c].nunique() > 1 and may_name_groups(raw[c])
    )  # fmt: skip


def _ungrouped(frame: pd.DataFrame, extra: tuple[str, ...]) -> list[str]:
    """Runs that may belong to several studies, of which nobody has said which is which."""
    if "group" in frame or not extra:
        return []
    return [
        f"all runs are one group, though they differ in {', '.join(extra)}; --by takes them apart"
    ]


def _derive(frame: pd.DataFrame) -> list[str]:
    """Fills D or C from the other by C = 6ND and says so."""
    n = frame["params_non_embedding" if "params_non_embedding" in frame else "params_total"]
    notes = []
    if "train_tokens" not in frame:
        frame["train_tokens"] = frame["train_flops"] / (6 * n)
        notes.append(f"D is not in the file: it is {n.name} and C put into D = C / 6N")
    if "train_flops_6nd" not in frame:
        frame["train_flops_6nd"] = 6 * n * frame["train_tokens"]
    return notes


def _units(frame: pd.DataFrame) -> list[str]:
    """Says where C is far from 6ND: then N, D or C may be in units of their own."""
    if "train_flops" not in frame:
        return []
    ratio = float((frame["train_flops"] / frame["train_flops_6nd"]).median())
    if not np.isfinite(ratio) or 1 / _FAR_FROM_6ND < ratio < _FAR_FROM_6ND:
        return []
    return [
        f"C is {ratio:.2g} times 6ND in the median run, so N, D or C may be in units of their own; "
        "exponents do not depend on units, and budgets are read in the unit of C"
    ]


def _curve_points(frame: pd.DataFrame, loss_column: str, term: str) -> pd.DataFrame:
    """The readings, where a run column repeats: several rows per run are a training curve."""
    if "run_id" not in frame or "train_flops" not in frame:
        return pd.DataFrame()
    if frame["run_id"].value_counts().median() < _MIN_CURVE_POINTS:
        return pd.DataFrame()
    wanted = ("run_id", "group", "size", "params_total", "params_non_embedding", "train_tokens",
              "train_flops", "loss_kind")  # fmt: skip
    points = frame[[name for name in wanted if name in frame]].copy()
    points = points.assign(split="validation", term=term, loss_nats=frame[loss_column])
    # A run that is in the file under two sizes keeps its first; the checks list the other.
    first_n = points.groupby("run_id")[_n_column(points)].transform("first")
    return points[points[_n_column(points)] == first_n].drop_duplicates(ignore_index=True)


def _n_column(frame: pd.DataFrame) -> str:
    return "params_total" if "params_total" in frame else "params_non_embedding"


def _identify(frame: pd.DataFrame) -> pd.DataFrame:
    """A run_id per row: the file's where it has one, else its line."""
    lines = pd.Series([f"line {row}" for row in frame["row"]], index=frame.index, dtype=object)
    named = frame.get("run_id", lines)
    return frame.assign(run_id=named.where(named.notna(), lines))


def _reasons(frame: pd.DataFrame, found: dict[str, str], loss_column: str, name: str) -> pd.Series:
    """Why a row may not be used by its status; an unexplained NaN loss is an error."""
    column, group = found["loss"], found.get("group")
    reason = pd.Series("", index=frame.index)
    if "status" in frame:
        status = frame["status"].fillna("done")
        ended = ~status.str.lower().isin(["done", "finished"])
        reason[ended] = "status " + status[ended]
    if "group" in frame:
        lost = frame["group"].isna() & (reason == "")
        reason[lost] = f"no value of {group}, by which the runs are grouped"
    # A row without N and D either is the mark of an empty cell, not a run without a result.
    empty = frame[[loss_column, _n_column(frame), "train_tokens"]].isna().all(axis=1)
    reason[empty & (reason == "")] = "the row is empty"
    unexplained = frame[loss_column].isna() & (reason == "")
    if unexplained.any():
        first = int(np.flatnonzero(unexplained)[0])
        raise AnalysisError(
            f"{name} line {frame['row'].iloc[first]}: {column} is NaN (rows such: "
            f"{int(unexplained.sum())}); give the loss, remove the row, or say why in a column "
            "`status`"
        )
    return reason


def _with_unigram(reasons: pd.Series, frame: pd.DataFrame, raw: pd.DataFrame) -> pd.Series:
    """Excludes runs that have learned nothing, where the file has the loss that shows it."""
    if not {"loss_nats", "unigram_nats"} <= set(raw.columns):
        return reasons
    own = raw.set_index("row").loc[frame["row"], ["loss_nats", "unigram_nats"]]
    for index, (nats, unigram) in zip(frame.index, own.to_numpy(dtype=float), strict=True):
        if reasons[index] == "" and nats >= unigram:
            reasons[index] = unigram_reason(nats, unigram)
    return reasons


def _roles(frame: pd.DataFrame, found: dict[str, str], loss_column: str) -> dict[str, str]:
    roles = {
        "n": _n_column(frame),
        "d": "train_tokens",
        "c": "train_flops" if "train_flops" in found else "train_flops_6nd",
        "loss": loss_column,
    }
    if "loss_standard_error" in frame:
        roles["loss_standard_error"] = "loss_standard_error"
    return roles
