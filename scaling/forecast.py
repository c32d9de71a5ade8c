"""The forecast of a sweep, kept beside it, and how what was trained compares with it.

`<root>/<sweep>/plan.json` holds the plan as it was before training. A cell that has ended keeps
the forecast that was made for it, so that a later plan never passes for a prediction.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median
from typing import Any

from scaling.errors import DamagedFile, StoreError
from scaling.files import write_atomic
from scaling.plan import Plan
from scaling.record import RunRecord
from scaling.store import ENDED, Store
from scaling.words import duration, in_words, short

FORECAST = "plan.json"
SCHEMA_VERSION = 1


def write_forecast(store: Store, plan: Plan) -> None:
    """Keeps the plan of what is left to train; raises OSError where it cannot be written."""
    path = store.sweep_folder(plan.sweep) / FORECAST
    earlier = {cell["run_id"]: cell for cell in read_cells(store, plan.sweep)}
    content = plan.to_dict()
    for cell in content["cells"]:
        cell["workers"] = plan.workers
    content["cells"] = [
        earlier.get(cell["run_id"], cell) if cell["state"] in ENDED else cell
        for cell in content["cells"]
    ]
    made = datetime.now(UTC).isoformat(timespec="seconds")
    content = {"schema_version": SCHEMA_VERSION, "made_at": made} | content
    write_atomic(path, json.dumps(content, indent=1) + "\n")


def read_cells(store: Store, sweep: str) -> list[dict[str, Any]]:
    """The cells of the forecast; none where there is no forecast that can be read."""
    try:
        content = json.loads((store.sweep_folder(sweep) / FORECAST).read_bytes())
        if content["schema_version"] != SCHEMA_VERSION:
            return []
        return [cell for cell in content["cells"] if isinstance(cell["run_id"], str)]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def forecast_line(plan: Plan) -> str:
    """What is left to train, on one line: time, device-hours, cost, memory."""
    hours = plan.left_device_hours
    parts = [f"{len(plan.left)} cells left"]
    if plan.left_seconds is not None:
        parts.append(f"{duration(plan.left_seconds)} of training with {plan.workers} workers")
    if hours is not None:
        parts.append(f"{hours:.2g} device-hours")
        if plan.price is not None:
            parts.append(plan.price.of(hours))
    peak = max((cell.memory_bytes for cell in plan.left), default=0)
    parts.append(f"at most {short(peak)}B a cell")
    if plan.too_large and plan.device_memory_bytes is not None:
        parts.append(f"{len(plan.too_large)} do not fit the {short(plan.device_memory_bytes)}B "
                     "of a device")  # fmt: skip
    return ", ".join(parts)


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """One cell as it was forecast and as it was.

    Attributes:
        seconds: of training, all attempts together, without evaluation.
        memory_bytes: what training added to the process; None where it was not measured.
        spent_flops: of the steps that the cell took itself; train_flops: as if from scratch.
    """

    size: str
    forecast_seconds: float
    seconds: float
    devices: int
    memory_bytes: int | None
    spent_flops: float
    train_flops: float

    @property
    def ratio(self) -> float:
        return self.seconds / self.forecast_seconds


def outcomes(store: Store, sweep: str) -> list[Outcome]:
    """The cells that are done and for which a time was forecast before they were trained."""
    found = []
    for cell in read_cells(store, sweep):
        seconds = cell.get("train_seconds")
        if cell.get("state") in ENDED or not isinstance(seconds, float) or seconds <= 0:
            continue
        record = _record(store, cell["run_id"])
        if record is None or record.status != "done":
            continue
        made = record.provenance
        peak, start = made.peak_memory_bytes, made.memory_at_start_bytes
        hours = cell.get("device_hours")
        devices = round(hours * 3600 / seconds) if isinstance(hours, float) else 1
        found.append(
            Outcome(
                size=_size(cell.get("labels") or {}),
                forecast_seconds=seconds,
                seconds=made.train_seconds,
                devices=max(1, devices),
                memory_bytes=None if peak is None or start is None else peak - start,
                spent_flops=made.spent_flops,
                train_flops=record.train_flops,
            )
        )
    return [one for one in found if math.isfinite(one.ratio) and one.ratio > 0]


def outcome_line(found: list[Outcome]) -> str:
    """How the forecast did, on one line."""
    actual = sum(one.seconds * one.devices for one in found)
    forecast = sum(one.forecast_seconds * one.devices for one in found)
    ratios = [one.ratio for one in found]
    sizes: dict[str, list[float]] = {}
    for one in found:
        sizes.setdefault(one.size, []).append(one.ratio)
    by_size = ", ".join(f"{size} {median(of_size):.2f}" for size, of_size in sizes.items())
    measured = [one.memory_bytes for one in found if one.memory_bytes is not None]
    memory = f"training held at most {short(max(measured))}B" if measured else "memory not measured"
    return (
        f"actual against forecast: {duration(actual)} ({actual / 3600:.2g} device-hours) against "
        f"{duration(forecast)}, median ratio {median(ratios):.2f} ({min(ratios):.2f} to "
        f"{max(ratios):.2f} over {len(found)} cells); by size: {by_size}; {memory}; "
        f"{_compute(found)}"
    )


def _compute(found: list[Outcome]) -> str:
    """What shared trunks saved."""
    spent = sum(one.spent_flops for one in found)
    whole = sum(one.train_flops for one in found)
    return f"{spent:.3g} FLOPs spent, {whole:.3g} as if each cell were trained from scratch"


def _record(store: Store, run_id: str) -> RunRecord | None:
    try:
        return store.run_record(run_id)
    except (DamagedFile, StoreError):
        return None


def _size(labels: Mapping[str, Any]) -> str:
    return in_words(labels.get("size", "all"))
