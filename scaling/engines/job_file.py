"""The jobs of a sweep as a JSON file, for workers that are started by something else than us."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

from scaling.errors import StoreError
from scaling.files import write_atomic
from scaling.jobs import Job

JOBS_SCHEMA_VERSION = 1


def write_jobs(path: Path, jobs: Sequence[Job]) -> None:
    table = {"schema_version": JOBS_SCHEMA_VERSION, "jobs": [asdict(job) for job in jobs]}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, json.dumps(table, indent=1) + "\n")


def read_jobs(path: Path) -> list[Job]:
    """Raises StoreError for a file that this version of the suite did not write."""
    names = {field.name for field in fields(Job)}
    try:
        table = json.loads(path.read_bytes())
        rows = table["jobs"]
        if table["schema_version"] != JOBS_SCHEMA_VERSION or any(
            row.keys() - names for row in rows
        ):
            raise ValueError
        return [Job(**(row | {"shorter": tuple(row["shorter"])})) for row in rows]
    except (ValueError, KeyError, TypeError):
        raise StoreError(
            f"{path} is no list of jobs that this version of the suite wrote; "
            "`scaling run SWEEP` writes it anew"
        ) from None
