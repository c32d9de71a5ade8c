"""Reads the files of a cell, and says of a damaged one what is wrong: never a number from it.

A cell is a training run or an evaluation of one; the spec tells which.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from scaling.errors import DamagedFile
from scaling.evaluation_cell import EvaluationRecord, EvaluationSpec, is_evaluation
from scaling.record import RunRecord, Status, status_of
from scaling.sealed import build, unseal
from scaling.spec import RunSpec

CellSpec = RunSpec | EvaluationSpec
CellRecord = RunRecord | EvaluationRecord

# `damaged` is a record that cannot be trusted: nobody trains the cell before it is seen to.
Ended = Status | Literal["damaged"]


def read_spec(path: Path, run_id: str) -> CellSpec:
    """The spec of the cell; its id is the checksum of it.

    Raises:
        DamagedFile: it is not the spec of this cell. FileNotFoundError: there is none.
    """
    spec: CellSpec
    try:
        content = json.loads(path.read_bytes())
        kind = EvaluationSpec if is_evaluation(content) else RunSpec
        spec = kind.from_dict(content)
        found = spec.run_id
    except (AttributeError, TypeError, ValueError) as error:
        raise DamagedFile(path, f"is no spec ({' '.join(str(error).split())})") from None
    if found != run_id:
        raise DamagedFile(path, f"is the spec of another run, {found}")
    return spec


def is_spec(path: Path, run_id: str) -> bool:
    try:
        read_spec(path, run_id)
    except DamagedFile:
        return False
    return True


def read_record(path: Path, run_id: str) -> CellRecord:
    """The record of the cell, held against its checksum.

    Raises:
        DamagedFile: it is not as it was written, or it is another cell's.
        FileNotFoundError: there is none. SchemaError: this suite does not know its schema.
    """
    content = unseal(path.read_bytes(), path)
    kind = EvaluationRecord if is_evaluation(content.get("spec")) else RunRecord
    make: Callable[[dict[str, Any]], CellRecord] = kind.from_dict
    record = build(make, content, path)
    if not record.run_id == record.spec.run_id == run_id:
        raise DamagedFile(path, f"is the record of another run, {record.spec.run_id}")
    return record


def recorded_state(path: str | Path, run_id: str) -> Ended | None:
    """How the cell ended by the record at `path`; None where there is none."""
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


class EndedStates:
    """`recorded_state` for who looks again and again: a file that has not changed is not reread."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[tuple[int, int, int], Ended]] = {}

    def read(self, path: str, run_id: str) -> Ended | None:
        try:
            found = os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        signature = (found.st_mtime_ns, found.st_size, found.st_ino)
        known = self._known.get(path)
        if known is not None and known[0] == signature:
            return known[1]
        # A change after the look at the signature is seen by the next one.
        if (state := recorded_state(path, run_id)) is not None:
            self._known[path] = signature, state
        return state
