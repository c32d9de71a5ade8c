"""What a sweep was forecast to cost against what it cost, from its plan.json and its records."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from analysis.errors import AnalysisError
from analysis.report.views import Cell, Check, Head, table_view
from analysis.sealed import read_sealed
from analysis.style import count, number

_TITLE = "Forecast against actual cost"
_SCHEMA_VERSION = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class _Trained:
    """One cell: training time in seconds, and memory in bytes where both are known."""

    arm: str
    size: str
    forecast_seconds: float
    seconds: float
    forecast_bytes: float
    bytes: float | None


def forecast_check(source: Path) -> Check:
    """The section of the report; where there is nothing to compare it says why."""
    cells, missing = _forecast_cells(source)
    trained = [found for cell in cells if (found := _trained(cell, source)) is not None]
    if not trained:
        why = missing or (
            "Nothing to compare: no cell that is done had a forecast of its time before it was "
            "trained; `scaling plan` measures the machine for the next sweep."
        )
        return Check(title=_TITLE, text=why)
    ratios = [found.seconds / found.forecast_seconds for found in trained]
    seconds = sum(found.seconds for found in trained)
    text = (
        f"{len(trained)} cells took {number(seconds / 3600)} hours of training, summed over "
        f"cells, against {number(sum(f.forecast_seconds for f in trained) / 3600)} forecast; "
        f"actual over forecast has the median {number(median(ratios))} and ranges from "
        f"{number(min(ratios))} to {number(max(ratios))}. Evaluation is in neither. Memory is what "
        "training added to its process."
    )
    return Check(title=_TITLE, text=text, tables=(table_view("By size", _HEADS, _rows(trained)),))


_HEADS = (
    Head(text="Arm"), Head(text="size"), Head(text="cells", numeric=True),
    Head(text="forecast", unit="s per cell", numeric=True),
    Head(text="actual", unit="s per cell", numeric=True),
    Head(text="actual / forecast", unit="median, range", numeric=True),
    Head(text="memory forecast", unit="bytes, largest", numeric=True),
    Head(text="memory actual", unit="bytes, largest", numeric=True),
)  # fmt: skip


def _rows(trained: Iterable[_Trained]) -> Iterable[list[Cell]]:
    groups: dict[tuple[str, str], list[_Trained]] = {}
    for found in trained:
        groups.setdefault((found.arm, found.size), []).append(found)
    for (arm, size), members in groups.items():
        ratios = [found.seconds / found.forecast_seconds for found in members]
        measured = [found.bytes for found in members if found.bytes is not None]
        yield [
            Cell(text=arm), Cell(text=size), Cell(text=str(len(members))),
            Cell(text=number(sum(f.forecast_seconds for f in members) / len(members))),
            Cell(text=number(sum(f.seconds for f in members) / len(members))),
            Cell(text=number(median(ratios)),
                 small=f"{number(min(ratios))} to {number(max(ratios))}"),
            Cell(text=count(max(f.forecast_bytes for f in members))),
            Cell(text=count(max(measured)) if measured else "–",
                 small="" if measured else "not measured"),
        ]  # fmt: skip


def _forecast_cells(source: Path) -> tuple[list[dict[str, Any]], str]:
    """The cells of plan.json, or why there are none."""
    path = source / "plan.json"
    if not source.is_dir():
        return [], "A table of runs holds no forecast of what they would cost."
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["schema_version"] != _SCHEMA_VERSION:
            return [], f"The forecast is of schema version {content['schema_version']!r}, which " \
                       f"is not {_SCHEMA_VERSION}."  # fmt: skip
        return list(content["cells"]), ""
    except FileNotFoundError:
        return [], "The sweep holds no forecast (plan.json); `scaling run` writes one."
    except (OSError, ValueError, KeyError, TypeError) as error:
        return [], f"The forecast (plan.json) cannot be read: {error}"


def _trained(cell: dict[str, Any], source: Path) -> _Trained | None:
    """None unless the cell had a forecast before it was trained, and is done."""
    seconds, state = cell.get("train_seconds"), cell.get("state")
    if not seconds or state not in ("pending", "running", "cancelled"):
        return None
    path = source.parent / "cells" / str(cell.get("run_id")) / "record.json"
    try:
        record = read_sealed(path)
    except (OSError, AnalysisError):
        return None  # the tables of runs say what is wrong with it
    if record.get("status") != "done":
        return None
    made, labels = record["provenance"], cell.get("labels") or {}
    peak, start = made.get("peak_memory_bytes"), made.get("memory_at_start_bytes")
    return _Trained(
        arm=str(labels.get("arm", labels.get("arch", "all"))),
        size=str(labels.get("size", "all")),
        forecast_seconds=float(seconds),
        seconds=float(made["train_seconds"]),
        forecast_bytes=float(cell.get("memory_bytes", 0)),
        bytes=None if peak is None or start is None else float(peak - start),
    )
