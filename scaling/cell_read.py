"""Reads the files of a cell, and says of a damaged one what is wrong: never a number from it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Literal

from scaling.errors import DamagedFile
from scaling.record import RunRecord, Status, status_of
from scaling.spec import RunSpec

# `damaged` is a record that cannot be trusted: nobody trains the cell before it is seen to.
Ended = Status | Literal["damaged"]


def read_spec(path: Path, run_id: str) -> RunSpec:
    """The spec of the run; its id is the checksum of it.

    Raises:
        DamagedFile: it is not the spec of this run. FileNotFoundError: there is none.
    """
    try:
        spec = RunSpec.from_dict(json.loads(path.read_bytes()))
    except (AttributeError, TypeError, ValueError) as error:
        raise DamagedFile(path, f"is no spec ({' '.join(str(error).split())})") from None
    if spec.run_id != run_id:
        raise DamagedFile(path, f"is the spec of another run, {spec.run_id}")
    return spec


def is_spec(path: Path, run_id: str) -> bool:
    try:
        read_spec(path, run_id)
    except DamagedFile:
        return False
    return True


def read_record(path: Path, run_id: str) -> RunRecord:
    """The record of the run, held against its checksum.

    Raises:
        DamagedFile: it is not as it was written, or it is another run's.
        FileNotFoundError: there is none. SchemaError: this suite does not know its schema.
    """
    record = RunRecord.read(path)
    if not record.run_id == record.spec.run_id == run_id:
        raise DamagedFile(path, f"is the record of another run, {record.spec.run_id}")
    return record


def recorded_state(path: str | Path, run_id: str) -> Ended | None:
    """How the run ended by the record at `path`; None where there is none."""
    try:
        # Without a file object, which costs more than the read.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        parts = []
        while part := os.read(descriptor, 1 << 20):
            parts.append(part)
    finally:
        os.close(descriptor)
    try:
        return status_of(b"".join(parts), run_id, path)
    except DamagedFile:
        return "damaged"
