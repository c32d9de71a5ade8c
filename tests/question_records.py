"""A folder of a sweep with its records, as the trainer writes them, without training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from scaling.evaluation_cell import EvaluationProvenance, EvaluationRecord, EvaluationSpec
from scaling.spec import RunSpec
from scaling.store import Store
from tests.factories import make_record

Values = Callable[[RunSpec, Mapping[str, Any]], dict[str, Any]]


def make_evaluation_record(
    spec: EvaluationSpec, values: dict[str, Any], options: dict[str, Any], **changes: Any
) -> EvaluationRecord:
    """A record of `spec` that is done."""
    made = EvaluationProvenance(
        wall_seconds=1.0,
        attempts=1,
        device="cpu",
        versions={},
        git_commit=None,
        finished_at="2026-01-01T00:00:00+00:00",
    )
    content: dict[str, Any] = {
        "run_id": spec.run_id,
        "spec": spec,
        "status": "done",
        "reason": None,
        "options": options,
        "values": values,
        "provenance": made,
    }
    return EvaluationRecord(**content | changes)


def write_study(
    folder: Path,
    runs: Mapping[RunSpec, dict[str, Any]],
    measurement: str,
    options: list[dict[str, Any]],
    values: Values,
) -> Path:
    """Writes a record for each run (spec -> labels) and each set of options.

    Args:
        folder: becomes the folder of the sweep; the records go to `cells/` beside it.
    """
    store = Store(folder.parent)
    cells = []
    for run, labels in runs.items():
        cells.append(
            {"run_id": run.run_id, "labels": labels, "depends_on": None, "excluded": None,
             "spec": run.to_dict()}
        )  # fmt: skip
        _write(store, run.run_id, make_record(run).to_json())
        for given in options:
            spec = EvaluationSpec(measurement=measurement, of=run.run_id, options=given)
            cells.append(
                {"run_id": spec.run_id, "labels": labels | {"measurement": measurement} | given,
                 "depends_on": run.run_id, "excluded": None, "spec": spec.to_dict()}
            )  # fmt: skip
            found = values(run, given)
            _write(store, spec.run_id, make_evaluation_record(spec, found, given).to_json())
    store.write_sweep(folder.name, "", cells)
    return folder


def _write(store: Store, run_id: str, content: str) -> None:
    path = store.folder(run_id) / "record.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
