"""Reads any CSV of runs, or of training curves, into canonical columns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from analysis.columns import canonical_n, may_name_groups, option_of, recognise
from analysis.csv_labels import loss_kind_of, quoted_labels
from analysis.errors import AnalysisError
from analysis.raw_table import CANONICAL, RawTable, labels_for
from analysis.row_checks import unigram_reason

# First data row of a file whose line 1 is the header.
_FIRST_LINE = 2

_NUMBERS = (
    "params_total", "params_non_embedding", "train_tokens", "train_flops", "train_flops_6nd",
    "unique_tokens", "budget_flops", "loss_standard_error", "bits_per_byte",
)  # fmt: skip

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
    raw, name = _read(source)
    raw = raw.assign(row=np.arange(_FIRST_LINE, _FIRST_LINE + len(raw)))
    raw, notes = _keep_where(raw, where, name)
    given = _given(raw, columns, loss, name)
    found, rivals = recognise(raw.drop(columns="row"), given=given, source=name)
    _require(found, raw, name)
    frame = pd.DataFrame({"row": raw["row"]})
    for role in _NUMBERS:
        if role in found:
            frame[role] = _numbers(raw, found[role], name)
    loss_column = "bits_per_byte" if found["loss"] == found.get("bits_per_byte") else "loss_nats"
    frame[loss_column] = _numbers(raw, found["loss"], name)
    for role in ("run_id", "group", "size", "seed", "status"):
        if role in found:
            frame[role] = raw[found[role]].astype(str) if role != "seed" else raw[found[role]]
    extra = _extra_columns(raw, found, frame)
    frame = frame.assign(**{name: raw[name] for name in extra})
    notes += rivals + _ungrouped(frame, extra) + _derive(frame)
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
    reasons = _reasons(frame, loss_column, found["loss"], name)
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


def _read(source: str | Path | pd.DataFrame) -> tuple[pd.DataFrame, str]:
    if isinstance(source, pd.DataFrame):
        raw, name = source.reset_index(drop=True), "frame"
    else:
        path = Path(source)
        name = path.name
        if not path.is_file():
            raise AnalysisError(f"no file or folder {source}; give a sweep folder or a CSV")
        try:
            raw = pd.read_csv(path)
        except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
            reason = " ".join(str(error).split())
            raise AnalysisError(f"{name} is no CSV with a header: {reason}") from error
    if raw.empty:
        raise AnalysisError(f"{name} has no rows; a fit needs runs")
    return raw, name


def _keep_where(
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


def _given(raw: pd.DataFrame, columns: dict[str, str], loss: str, name: str) -> dict[str, str]:
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
            raw[column] = raw[parts].astype(str).agg("/".join, axis=1)
        given[canonical_n(column) if role == "n" else canonical.get(role, role)] = column
    if loss == "bits_per_byte":
        found = [c for c in raw.columns if str(c).lower() in ("bits_per_byte", "bpb")]
        if not found:
            raise AnalysisError(f"{name} has no column bits_per_byte; it has {_listed(raw)}")
        given["loss"] = given["bits_per_byte"] = found[0]
    return given


def _require(found: dict[str, str], raw: pd.DataFrame, name: str) -> None:
    """One line for what no guess can fill."""
    has_n = "params_total" in found or "params_non_embedding" in found
    axes = [has_n, "train_tokens" in found, "train_flops" in found]
    lacking = [] if "loss" in found else ["loss (--loss)"]
    if not has_n:
        lacking.append("N, the parameters (--n)")
    if sum(axes) < 2 and has_n:
        lacking.append("D, the training tokens (--d), or C, the FLOPs (--c)")
    if lacking:
        raise AnalysisError(
            f"{name}: no column is recognised as {' nor '.join(lacking)}; "
            f"it has {_listed(raw)}: name yours by the option"
        )


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
    if "run_id" in frame:
        return frame
    return frame.assign(run_id=[f"line {row}" for row in frame["row"]])


def _reasons(frame: pd.DataFrame, loss_column: str, column: str, name: str) -> pd.Series:
    """Why a row may not be used by its status; an unexplained NaN loss is an error."""
    reason = pd.Series("", index=frame.index)
    if "status" in frame:
        ended = ~frame["status"].str.lower().isin(["done", "finished", "nan"])
        reason[ended] = "status " + frame["status"][ended]
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
