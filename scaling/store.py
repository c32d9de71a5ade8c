"""The store of cells: a folder that is the truth about what has been trained and measured.

`<root>/cells/<run_id>/` holds all of one training run, or of one evaluation of a trained one;
`<root>/<sweep>/` says which cells a sweep consists of.
A cell belongs to no sweep: two sweeps that need a run share it. The folder may lie on a shared
file system; there is no server, and engines only start workers that claim cells here.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from scaling import cancel, claims
from scaling.aside import end_attempt, set_aside
from scaling.cell_files import CANCEL, CLAIM, RECORD, SPEC
from scaling.cell_read import (
    CellRecord,
    CellSpec,
    Ended,
    EndedStates,
    is_spec,
    read_record,
    read_spec,
    recorded_state,
)
from scaling.claims import Claim
from scaling.errors import DamagedFile, StoreError
from scaling.evaluation_cell import EvaluationRecord, EvaluationSpec
from scaling.files import write_atomic, write_exclusive
from scaling.listing import read_listing, write_listing
from scaling.logs import harmless
from scaling.record import STATUSES, RunRecord
from scaling.spec import RunSpec

State = Literal["pending", "running", "cancelled"] | Ended
ENDED: frozenset[str] = STATUSES | {"damaged"}
# What no launcher waits for: a cancelled cell has no record, and goes on once its mark is lifted.
SETTLED: frozenset[str] = ENDED | {"cancelled"}

_RUN_ID = re.compile(r"[0-9a-f]{16}")
_SWEEP_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_RESERVED = frozenset({"cells", "cache", "wandb", "refused", "damaged"})


class Store:
    """Cells under one root. Every method can be called by many processes at once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.cells = root / "cells"
        self.cache = root / "cache"
        self._ended = EndedStates()

    def folder(self, run_id: str) -> Path:
        return self.cells / _check_run_id(run_id)

    def add(self, spec: CellSpec) -> None:
        """Makes the cell of `spec`, where it is missing, and its spec.json, where it is damaged."""
        path = self.folder(spec.run_id) / SPEC
        try:
            self.spec(spec.run_id)
            return
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
        except DamagedFile:
            set_aside(self.root, path, lambda moved: not is_spec(moved, spec.run_id))
        write_exclusive(path, json.dumps(spec.to_dict(), indent=1) + "\n")

    def spec(self, run_id: str) -> CellSpec:
        """What the cell is; raises as `scaling.cell_read.read_spec`."""
        return read_spec(self.folder(run_id) / SPEC, run_id)

    def run_spec(self, run_id: str) -> RunSpec:
        """What the training run is; raises StoreError where it is an evaluation."""
        spec = self.spec(run_id)
        if isinstance(spec, EvaluationSpec):
            raise StoreError(
                f"{run_id} is an evaluation ({spec.measurement}) of run {spec.of}, and this needs "
                f"a training run: name {spec.of}"
            )
        return spec

    def record(self, run_id: str) -> CellRecord | None:
        """What the cell found; None while it has not ended.

        Raises:
            DamagedFile: it is not as it was written, or it is another cell's.
        """
        try:
            return read_record(self.folder(run_id) / RECORD, run_id)
        except FileNotFoundError:
            return None

    def run_record(self, run_id: str) -> RunRecord | None:
        """What the training run found; None while it has not ended, or for an evaluation."""
        record = self.record(run_id)
        return None if isinstance(record, EvaluationRecord) else record

    def reason(self, run_id: str) -> str | None:
        """Why the run has no result: its record or the mark of who cancelled it; else None.

        Safe to print, whoever wrote it.
        """
        try:
            record = self.record(run_id)
        except DamagedFile as error:
            return harmless(str(error))
        if record is not None:
            return None if record.reason is None else harmless(record.reason)
        mark = cancel.read_mark(self.folder(run_id))
        return None if mark is None else str(mark)

    def run_ids(self) -> list[str]:
        try:
            with os.scandir(self.cells) as entries:
                return sorted(entry.name for entry in entries if _RUN_ID.fullmatch(entry.name))
        except FileNotFoundError:
            return []

    def state(self, run_id: str) -> State:
        return self.states([run_id])[run_id]

    def states(self, run_ids: Iterable[str]) -> dict[str, State]:
        """The states of many cells; a record that is new here is held against its checksum."""
        found: dict[str, State] = {}
        now_seconds: float | None = None
        for run_id in run_ids:
            folder = f"{self.cells}/{_check_run_id(run_id)}"
            ended = self._ended.read(f"{folder}/{RECORD}", run_id)
            if ended is not None:
                found[run_id] = ended
                continue
            running = os.path.exists(f"{folder}/{CLAIM}")
            if running:
                if now_seconds is None:
                    now_seconds = self._server_seconds()
                running = not claims.is_stale(Path(folder, CLAIM), now_seconds)
            idle: State = "cancelled" if os.path.exists(f"{folder}/{CANCEL}") else "pending"
            found[run_id] = "running" if running else idle
        return found

    def _server_seconds(self) -> float:
        try:
            return claims.server_seconds(self.root)
        except OSError:
            return -math.inf  # a store that is only read has no clock: nobody is called silent

    def claim(self, run_id: str) -> Claim | None:
        """The right to work on a cell; None when it has ended, is cancelled or is being trained."""
        folder = self.folder(run_id)

        def is_settled() -> bool:
            return (folder / RECORD).exists() or cancel.is_marked(folder)

        if is_settled():
            return None
        claim = claims.take(folder)
        if claim is not None and is_settled():
            claim.end("released")
            return None
        return claim

    def publish(self, claim: Claim, record: CellRecord) -> bool:
        """Makes `record` the result of the claimed cell, and ends the claim.

        Returns:
            False when the cell has a result already: the second one is kept under
            `<root>/refused/` and listed by `scaling status`.
        Raises:
            ClaimLost: the cell was given to another worker.
        """
        claim.check()
        content = record.to_json()
        published = write_exclusive(claim.folder / RECORD, content, durable=True)
        if not published:
            refused = self.root / "refused"
            refused.mkdir(exist_ok=True)
            name = f"{record.run_id}.{claim.token:06d}.{claim.owner[:8]}.json"
            write_atomic(refused / name, content)
        claim.end("ended")
        return published

    def refuse(self, claim: Claim, reason: str) -> None:
        """Notes an attempt that lost its cell to another one before it had a result."""
        note = {"run_id": claim.folder.name, "token": claim.token, "reason": reason}
        refused = self.root / "refused"
        refused.mkdir(exist_ok=True)
        name = f"{claim.folder.name}.{claim.token:06d}.{claim.owner[:8]}.json"
        write_atomic(refused / name, json.dumps(note, indent=1) + "\n")

    def refused(self) -> list[str]:
        """Names of the results that came second, and of the attempts that lost their cell."""
        with contextlib.suppress(FileNotFoundError):
            return sorted(p.name for p in (self.root / "refused").iterdir() if p.name[0] != ".")
        return []

    def retry(self, run_id: str) -> State | None:
        """Moves the record of a run that did not reach its end aside, so that it runs again.

        Whether it goes on from its checkpoint: see `scaling.aside.end_attempt`. A damaged record
        goes to `<root>/damaged/`.

        Returns:
            The state it had; None, and nothing is changed, when it is done or has no record.
        """
        folder = self.folder(run_id)
        state = recorded_state(folder / RECORD, run_id)
        if state is None or state == "done":
            return None
        if state == "damaged":
            moved = self.set_record_aside(run_id) is not None
        else:
            claims.forgive(folder)
            moved = end_attempt(folder, state)
        return state if moved else None

    def set_record_aside(self, run_id: str) -> Path | None:
        """Moves a damaged record to `<root>/damaged/`, so that the cell is pending again."""

        def is_damaged(path: Path) -> bool:
            return recorded_state(path, run_id) == "damaged"

        return set_aside(self.root, self.folder(run_id) / RECORD, is_damaged)

    def write_sweep(self, name: str, source: str, cells: list[dict[str, Any]]) -> Path:
        """Writes what the sweep consists of; returns its folder."""
        folder = self.sweep_folder(name)
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / "sweep.yaml", source)
        write_listing(folder / "cells.json", name, cells)
        return folder

    def sweep_cells(self, name: str) -> list[dict[str, Any]]:
        """The cells of a sweep as `scaling run` wrote them.

        Raises:
            StoreError: there is no such sweep. DamagedFile: its listing is not as it was written.
            SchemaError: it is of a schema version that this suite does not know.
        """
        try:
            return read_listing(self.sweep_folder(name) / "cells.json")
        except FileNotFoundError:
            known = ", ".join(self.sweeps()) or "none yet"
            raise StoreError(
                f"sweep {name!r} is not in {self.root}; known: {known}; "
                "`scaling run SWEEP` makes one"
            ) from None

    def sweeps(self) -> list[str]:
        return sorted(path.parent.name for path in self.root.glob("*/cells.json"))

    def sweep_folder(self, name: str) -> Path:
        return self.root / check_sweep_name(name)


def check_sweep_name(name: object) -> str:
    """Raises StoreError unless `name` can be a folder of the store."""
    if not isinstance(name, str) or not _SWEEP_NAME.fullmatch(name) or name in _RESERVED:
        raise StoreError(
            f"name={name!r} cannot name a sweep: up to 128 letters, digits and ._-, a letter, digit"
            f" or _ first, and none of {', '.join(sorted(_RESERVED))}; rename the sweep"
        )
    return name


def _check_run_id(run_id: str) -> str:
    if not _RUN_ID.fullmatch(run_id):
        raise StoreError(f"run_id={run_id!r} is not 16 hex digits; `scaling status` lists them")
    return run_id
