"""A cell whose training returns at once; light to import, as each process that runs it does."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from scaling.jobs import Job, Outcome
from scaling.record import RunRecord
from scaling.spec import RunSpec
from scaling.worker import run_cell
from tests.factories import make_record

_records: list[RunRecord] = []


def run_empty(root: Path, job: Job, *, on_progress: Any = None) -> Outcome:
    """Claims, beats, reads the text and publishes as every cell does, and trains nothing."""
    return run_cell(root, job, on_progress=on_progress, train=_train_nothing)


def _train_nothing(spec: RunSpec, **options: Any) -> RunRecord:
    if not _records:
        _records.append(make_record(spec))
    return dataclasses.replace(_records[0], run_id=spec.run_id, spec=spec)
