"""The store of cells: a folder that is the truth about what has been trained.

`<root>/cells/<run_id>/` holds all of one run, `<root>/<sweep>/` which cells a sweep consists of.
A cell belongs to no sweep: two sweeps that need a run share it. The folder may lie on a shared
file system; there is no server, and engines only start workers that claim cells here.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, get_args

from scaling import claims
from scaling.claims import Claim
from scaling.errors import StoreError
from scaling.files import write_atomic, write_exclusive
from scaling.record import RunRecord, Status
from scaling.spec import RunSpec

State = Literal["pending", "running"] | Status
ENDED: frozenset[str] = frozenset(get_args(Status))

CELLS_SCHEMA_VERSION = 1

_RUN_ID = re.compile(r"[0-9a-f]{16}")
_SWEEP_NAME = re.compile(r"[A-Za-z0-9._-]+")
_RESERVED = frozenset({".", "..", "cells", "cache", "wandb", "refused"})

# RunRecord writes the status behind the spec: the curve, which is long, need not be read.
_HEAD_BYTES = 4096
_STATUS = re.compile(rb'\n "status": "(\w+)"')


class Store:
    """Cells under one root. Every method can be called by many processes at once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.cells = root / "cells"
        self.cache = root / "cache"

    def folder(self, run_id: str) -> Path:
        if not _RUN_ID.fullmatch(run_id):
            raise StoreError(f"run_id={run_id!r} is not 16 hex digits; `scaling status` lists them")
        return self.cells / run_id

    def add(self, spec: RunSpec) -> None:
        """Makes the cell of `spec`, where it is missing."""
        folder = self.folder(spec.run_id)
        if not (folder / "spec.json").exists():
            folder.mkdir(parents=True, exist_ok=True)
            write_exclusive(folder / "spec.json", json.dumps(spec.to_dict(), indent=1) + "\n")

    def spec(self, run_id: str) -> RunSpec:
        return RunSpec.from_dict(json.loads((self.folder(run_id) / "spec.json").read_bytes()))

    def record(self, run_id: str) -> RunRecord | None:
        """What the run found; None while it has not ended."""
        path = self.folder(run_id) / "record.json"
        return RunRecord.read(path) if path.exists() else None

    def run_ids(self) -> list[str]:
        try:
            with os.scandir(self.cells) as entries:
                return sorted(entry.name for entry in entries if _RUN_ID.fullmatch(entry.name))
        except FileNotFoundError:
            return []

    def state(self, run_id: str) -> State:
        return self.states([run_id])[run_id]

    def states(self, run_ids: Iterable[str]) -> dict[str, State]:
        """The states of many cells; of each record it reads the head alone."""
        found: dict[str, State] = {}
        now_seconds: float | None = None
        for run_id in run_ids:
            folder = self.folder(run_id)
            status = _status(folder / "record.json")
            if status is not None:
                found[run_id] = status
                continue
            claim = folder / "claim.json"
            running = claim.exists()
            if running:
                if now_seconds is None:
                    now_seconds = claims.server_seconds(self.root)
                running = not claims.is_stale(claim, now_seconds)
            found[run_id] = "running" if running else "pending"
        return found

    def claim(self, run_id: str) -> Claim | None:
        """The right to work on a cell; None when it has ended or a live worker has it."""
        folder = self.folder(run_id)
        if (folder / "record.json").exists():
            return None
        claim = claims.take(folder)
        if claim is not None and (folder / "record.json").exists():
            claim.end("released")
            return None
        return claim

    def publish(self, claim: Claim, record: RunRecord) -> bool:
        """Makes `record` the result of the claimed cell, and ends the claim.

        Returns:
            False when the cell has a result already: the second one is kept under
            `<root>/refused/` and listed by `scaling status`.
        Raises:
            ClaimLost: the cell was given to another worker.
        """
        claim.check()
        content = record.to_json()
        published = write_exclusive(claim.folder / "record.json", content, durable=True)
        if not published:
            refused = self.root / "refused"
            refused.mkdir(exist_ok=True)
            write_atomic(refused / f"{record.run_id}.{claim.token:06d}.json", content)
        claim.end("ended")
        return published

    def refused(self) -> list[str]:
        """Names of the results that came second."""
        with contextlib.suppress(FileNotFoundError):
            return sorted(p.name for p in (self.root / "refused").iterdir() if p.name[0] != ".")
        return []

    def retry(self, run_id: str) -> Status | None:
        """Moves the record of a run that did not reach its end aside, so that it runs again.

        A run that was cut off by a limit goes on from its checkpoint, one that broke starts anew.

        Returns:
            The status it had; None, and nothing is changed, when it is done or has no record.
        """
        folder = self.folder(run_id)
        status = _status(folder / "record.json")
        if status is None or status == "done":
            return None
        claims.forgive_deaths(folder)
        if status in ("diverged", "failed"):
            (folder / "checkpoint.pt").unlink(missing_ok=True)
        ended = folder / "ended"
        ended.mkdir(exist_ok=True)
        number = len(list(ended.iterdir())) + 1
        os.rename(folder / "record.json", ended / f"{number:03d}.{status}.json")
        return status

    def write_sweep(self, name: str, source: str, cells: list[dict[str, Any]]) -> Path:
        """Writes what the sweep consists of; returns its folder."""
        folder = self.sweep_folder(name)
        folder.mkdir(parents=True, exist_ok=True)
        table = {"schema_version": CELLS_SCHEMA_VERSION, "sweep": name, "cells": cells}
        write_atomic(folder / "sweep.yaml", source)
        write_atomic(folder / "cells.json", json.dumps(table, indent=1) + "\n")
        return folder

    def sweep_cells(self, name: str) -> list[dict[str, Any]]:
        """The cells of a sweep as `scaling run` wrote them."""
        try:
            table = json.loads((self.sweep_folder(name) / "cells.json").read_bytes())
        except FileNotFoundError:
            known = ", ".join(self.sweeps()) or "none yet"
            raise StoreError(
                f"sweep {name!r} is not in {self.root}; known: {known}; "
                "`scaling run SWEEP` makes one"
            ) from None
        if table.get("schema_version") != CELLS_SCHEMA_VERSION:
            raise StoreError(
                f"sweep {name!r} has schema version {table.get('schema_version')!r}, this suite "
                f"reads {CELLS_SCHEMA_VERSION}; run the sweep again"
            )
        cells: list[dict[str, Any]] = table["cells"]
        return cells

    def sweeps(self) -> list[str]:
        return sorted(path.parent.name for path in self.root.glob("*/cells.json"))

    def sweep_folder(self, name: str) -> Path:
        return self.root / check_sweep_name(name)


def check_sweep_name(name: object) -> str:
    """Raises StoreError unless `name` can be a folder of the store."""
    if not isinstance(name, str) or not _SWEEP_NAME.fullmatch(name) or name in _RESERVED:
        raise StoreError(
            f"name={name!r} cannot name a sweep: letters, digits and ._- only, and none of "
            f"{', '.join(sorted(_RESERVED))}; rename the sweep"
        )
    return name


def _status(path: Path) -> Status | None:
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
            found = _STATUS.search(head)
            if found is None:
                return json.loads(head + file.read())["status"]  # type: ignore[no-any-return]
    except FileNotFoundError:
        return None
    return found[1].decode()  # type: ignore[return-value]
