"""The cells of a store as one flat table: a row per cell, columns that carry their units.

The names are those that `analysis.load_table` knows, so that the CSV gives the fit of the sweep.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scaling.errors import DamagedFile, StoreError
from scaling.evaluation_cell import EvaluationSpec, is_evaluation
from scaling.files import written_atomically
from scaling.install import install_command
from scaling.spec import RunSpec
from scaling.store import Store

if TYPE_CHECKING:
    import pandas as pd

    from scaling.record import RunRecord

# Of the spec, under its own names; those that a sweep's labels give for people come first.
_SPEC = tuple(field.name for field in dataclasses.fields(RunSpec))
# What the losses of two runs must share to be compared in nats.
_WINDOW = ("seq_len", "eval_tokens")


def cell_table(store: Store, sweep: str | None = None) -> pd.DataFrame:
    """One row per training run of the store, or of one sweep; what is missing is empty.

    Raises:
        StoreError: there is no such sweep, or no cell at all.
    """
    import pandas as pd

    names = [sweep] if sweep is not None else store.sweeps()
    cells: dict[str, dict[str, Any]] = {}
    excluded = []
    for name in names:
        for cell in store.sweep_cells(name):
            if is_evaluation(cell["spec"]):
                continue
            if cell["excluded"] is not None:
                excluded.append(_excluded_row(cell, name))
                continue
            row = cells.setdefault(cell["run_id"], {**_label_columns(cell), "sweeps": []})
            row["sweeps"].append(name)
    if sweep is None:
        for run_id in store.run_ids():
            if run_id not in cells and not _is_evaluation(store, run_id):
                cells[run_id] = {"sweeps": []}
    if not cells and not excluded:
        raise StoreError(f"{store.root} holds no cell; `scaling run quickstart` makes some")
    states = store.states(cells)
    rows = [_row(store, run_id, states[run_id], known) for run_id, known in cells.items()]
    rows += excluded
    table = pd.DataFrame(rows)
    # Counts stay whole numbers where some rows lack them.
    table = table.astype({name: "Int64" for name in table if _is_count(rows, str(name))})
    return table.assign(loss_kind=_loss_kinds(table))


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Writes a .csv or a .parquet.

    Raises:
        StoreError: the name ends otherwise, or Parquet's library is not installed.
    """
    if path.suffix == ".csv":
        with written_atomically(path.absolute()) as partial:
            table.to_csv(partial, index=False)
    elif path.suffix == ".parquet":
        try:
            import pyarrow  # noqa: F401
        except ImportError:
            raise StoreError(
                f"{path}: Parquet needs pyarrow, which is not installed; write a .csv, or "
                f"install it with: {install_command('parquet')}"
            ) from None
        with written_atomically(path.absolute()) as partial:
            table.to_parquet(partial, index=False)
    else:
        raise StoreError(f"{path} ends in {path.suffix!r}; a table is a .csv or a .parquet")


def _row(store: Store, run_id: str, state: str, known: dict[str, Any]) -> dict[str, Any]:
    row = {"run_id": run_id, "sweeps": ";".join(known["sweeps"]), "state": state, "reason": None}
    row |= {name: value for name, value in known.items() if name != "sweeps"}
    try:
        record = store.run_record(run_id)
        spec = record.spec if record is not None else store.run_spec(run_id)
    except (DamagedFile, FileNotFoundError) as error:
        return row | {"reason": str(error)}
    row |= {name: getattr(spec, name) for name in _SPEC}
    return row | (_record_columns(record) if record is not None else {})


def _record_columns(record: RunRecord) -> dict[str, Any]:
    """What the run found; the loss is that of the main term of its objective."""
    made = record.provenance
    columns: dict[str, Any] = {"reason": record.reason}
    for name in (
        "params_total", "params_non_embedding", "train_flops", "train_flops_6nd",
        "train_flops_per_token", "tokens_predicted", "bits_per_byte",
        "bits_per_byte_kind", "bits_per_byte_standard_error",
    ):  # fmt: skip
        columns[name] = getattr(record, name)
    columns["unique_tokens"] = record.tokens_unique
    # Less than train_tokens where the run ended early; by its own name it would be taken for D.
    columns["processed_tokens"] = record.tokens_seen
    term, yardstick = next(iter(record.yardsticks.items()))
    columns["yardstick"] = yardstick
    main = record.losses.get(term)
    if main is not None:
        columns["loss_nats"] = main.nats_per_target
        columns["loss_standard_error"] = main.standard_error
        columns["unigram_nats"] = main.unigram_nats_per_target
    for name, loss in record.losses.items():
        columns[f"{name}_nats_per_target"] = loss.nats_per_target
        columns[f"{name}_targets"] = loss.targets
    for name in ("wall_seconds", "train_seconds", "spent_flops", "forked_from", "attempts",
                 "device", "git_commit", "finished_at"):  # fmt: skip
        columns[name] = getattr(made, name)
    return columns


def _is_evaluation(store: Store, run_id: str) -> bool:
    try:
        return isinstance(store.spec(run_id), EvaluationSpec)
    except (DamagedFile, FileNotFoundError):
        return False  # shown as a run, with the reason


def _excluded_row(cell: dict[str, Any], sweep: str) -> dict[str, Any]:
    spec = cell["spec"] or {}
    row = {"run_id": cell["run_id"], "sweeps": sweep, "state": "excluded"}
    row |= {"reason": cell["excluded"]} | _label_columns(cell)
    return row | {name: spec[name] for name in _SPEC if name in spec}


def _label_columns(cell: dict[str, Any]) -> dict[str, Any]:
    """Size and nominal budget, which stand in the labels of a sweep alone."""
    labels = cell["labels"]
    budget = labels.get("train_flops")
    return {"size": labels.get("size"), "budget_flops": None if budget is None else float(budget)}


def _is_count(rows: list[dict[str, Any]], name: str) -> bool:
    values = [value for row in rows if (value := row.get(name)) is not None]
    return bool(values) and all(type(value) is int for value in values)


def _loss_kinds(table: pd.DataFrame) -> pd.Series[str] | None:
    """The yardstick, and the text, windows or tokenizer where the rows differ in them.

    Losses of two kinds are never compared in nats.
    """
    if "yardstick" not in table:
        return None
    kinds = table["yardstick"]
    found = table["yardstick"].notna()
    windows = "of " + table[list(_WINDOW)].astype("string").fillna("").agg(" of ".join, axis=1)
    for name, values in (
        ("text", table["corpus_fingerprint"]),
        ("tokenizer", table["tokenizer_fingerprint"]),
        ("windows", windows),
    ):
        if values[found].nunique() > 1:
            kinds = kinds.where(~found, kinds + f", {name} " + values.astype("string"))
    return kinds
