"""Reads the cells of a sweep folder: those with a record as rows, the others with their reason."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from analysis.errors import AnalysisError
from analysis.raw_table import RawTable
from analysis.read_records import as_raw_table, record_row
from analysis.sealed import (
    LISTING_MIGRATIONS,
    LISTING_VERSION,
    DamagedFile,
    migrate,
    read_sealed,
)


def read_sweep(folder: Path, *, loss: str) -> RawTable:
    """Reads the cells of `runs/<sweep>/` and the records under `runs/cells/`.

    Raises:
        AnalysisError: there is no cells.json, or it is not of this schema.
    """
    content = read_listing(folder)
    sweep = content.get("sweep", folder.name)
    rows, points = [], []
    for cell in runs_of(content["cells"]):
        row, curve = _read_cell(cell, folder.parent / "cells", loss)
        rows.append({"sweep": sweep, **row})
        points.extend(curve)
    return as_raw_table(rows, points, loss=loss, source=str(folder), n_read=len(content["cells"]))


def read_listing(folder: Path) -> dict[str, Any]:
    """What the cells.json of `runs/<sweep>/` holds: `cells`, and the name of the `sweep`.

    Raises:
        AnalysisError: there is no cells.json, or it is not of this schema.
    """
    listing = folder / "cells.json"
    if not listing.is_file():
        raise AnalysisError(
            f"{folder} has no cells.json; give the folder of a sweep, such as runs/NAME"
        )
    content = migrate(read_sealed(listing), LISTING_MIGRATIONS, LISTING_VERSION, str(listing))
    if not isinstance(content.get("cells"), list):
        raise DamagedFile(f"{listing} lists no cells; run the sweep again, which writes it anew")
    return content


def runs_of(cells: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The cells of a listing that are training runs; the others measure one of them."""
    return [cell for cell in cells if "measurement" not in (cell.get("spec") or {})]


def _read_cell(
    cell: dict[str, Any], store: Path, loss: str
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    labels = cell.get("labels") or {}
    known = {"run_id": cell.get("run_id") or f"cell {labels}"}
    known |= {name: labels.get(name) for name in ("arm", "size", "seed")}
    known |= {"group": labels.get("arm", labels.get("arch"))}
    # What the sweep planned; a cell that it excludes has labels alone.
    known |= {"spec": {**labels, **(cell.get("spec") or {})}}
    budget = labels.get("train_flops")
    known |= {"budget_flops": float(budget) if budget is not None else None}
    if cell.get("excluded"):
        return {**known, "reason": f"excluded by the sweep: {cell['excluded']}"}, []
    if cell.get("unread"):
        return {**known, "reason": f"not read: {cell['unread']}"}, []
    try:
        record = cell_record(store, str(cell["run_id"]))
    except DamagedFile as error:
        return {**known, "status": "damaged", "reason": f"damaged: {error}"}, []
    if record is None:
        return {**known, "reason": "no record yet"}, []
    try:
        row, points = record_row(record, loss, arm=known["arm"])
    except (AttributeError, KeyError, TypeError) as error:
        # Only a record of before the checksums comes here.
        reason = f"damaged: the record lacks a field ({type(error).__name__}: {error})"
        return {**known, "status": "damaged", "reason": reason}, []
    fill = {name: value for name, value in known.items() if row.get(name) is None}
    return {**row, **fill}, points


def cell_record(store: Path, run_id: str) -> dict[str, Any] | None:
    """The record of a run under `runs/cells/`; None where there is none yet.

    Raises:
        DamagedFile: it is not as it was written, or it is another run's.
    """
    if Path(run_id).name != run_id or run_id in ("", ".."):
        raise DamagedFile(f"run_id {run_id!r} is no name of a cell")
    path = store / run_id / "record.json"
    if not path.is_file():
        return None
    record = read_sealed(path)
    if record.get("run_id") != run_id:
        raise DamagedFile(f"{path} is the record of another run, {record.get('run_id')!r}")
    return record
