"""Looks through a store for what is torn, stale or left over, and mends it.

Nothing of value is deleted: what is damaged goes to `<root>/damaged/`, and the cell is pending
again. A cell that a live worker has is left alone, but for its record.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from scaling import claims
from scaling.aside import set_aside
from scaling.cell_files import CHECKPOINT, CLAIM, FORK, RECORD, SPEC, WEIGHTS
from scaling.cell_read import CellRecord, read_record, read_spec
from scaling.errors import DamagedFile, StoreError
from scaling.files import damage_of_zip, write_exclusive
from scaling.finding import Finding
from scaling.listing import read_listing
from scaling.record import RunRecord
from scaling.sealed import SchemaError
from scaling.store import Store

# Texts are large and belong to no claim: their writers get longer.
_CACHE_SECONDS = 3600.0
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{12}\.tmp")
_CLAIM_ASIDE = re.compile(r"\.claim\.[0-9a-f]{12}\.tmp")

Mend = Callable[[], object]
Found = Iterator[tuple[Finding, Mend | None]]


def look_through(store: Store, *, mend: bool = False) -> list[Finding]:
    """All findings, those of sweeps first.

    Args:
        mend: see to each damage as it is found; needs the right to write.
    """
    try:
        now_seconds = claims.server_seconds(store.root)
    except OSError:
        if mend:
            raise
        now_seconds = -math.inf  # a store that is only read: nothing is called old
    look = _Look(store, now_seconds)
    findings = []
    for finding, action in look.all():
        done = mend and action is not None
        if done and action is not None:
            action()
        findings.append(
            Finding(kind=finding.kind, path=finding.path, what=finding.what, mended=done)
        )
    return findings


class _Look:
    """One pass over a store; each look yields findings with the action that mends them."""

    def __init__(self, store: Store, now_seconds: float) -> None:
        self._store, self._root, self._now = store, store.root, now_seconds
        self._specs: dict[str, Any] = {}
        self._named: set[str] = set()

    def all(self) -> Found:
        if not self._root.is_dir():
            raise StoreError(f"{self._root} is no store; give the folder of one with --root")
        for name in self._store.sweeps():
            yield from self._listing(self._root / name / "cells.json")
        for run_id in self._store.run_ids():
            yield from self._cell(run_id)
        for name in self._store.refused():
            path = self._root / "refused" / name
            yield self._finding("refused", path, "came second, or lost its cell"), None
        yield from self._temporaries()

    def _finding(self, kind: str, path: Path, what: str) -> Finding:
        return Finding(kind=kind, path=path.relative_to(self._root).as_posix(), what=what)

    def _damage(
        self, kind: str, path: Path, error: Exception, is_damaged: Callable[[Path], bool]
    ) -> tuple[Finding, Mend | None]:
        if isinstance(error, SchemaError):
            return self._finding("schema", path, f"cannot be read ({error})"), None
        what = error.damage if isinstance(error, DamagedFile) else str(error)
        return self._finding(kind, path, what), lambda: set_aside(self._root, path, is_damaged)

    def _listing(self, path: Path) -> Found:
        try:
            cells = read_listing(path)
        except (DamagedFile, SchemaError) as error:
            yield self._damage("listing", path, error, lambda moved: fails(read_listing, moved))
            return
        for cell in cells:
            self._named.add(str(cell.get("run_id")))
            self._specs[str(cell.get("run_id"))] = cell.get("spec")

    def _cell(self, run_id: str) -> Found:
        folder = self._store.folder(run_id)
        record: CellRecord | None = None
        try:
            record = read_record(folder / RECORD, run_id)
        except FileNotFoundError:
            pass
        except (DamagedFile, SchemaError) as error:
            yield self._damage(
                "record", folder / RECORD, error, lambda moved: fails(read_record, moved, run_id)
            )
        claim = folder / CLAIM
        if claim.exists():
            if not claims.is_stale(claim, self._now):
                return
            held = claims.read_claim(claim) or {}
            yield (
                self._finding("claim", claim, "is of an owner that is gone"),
                lambda: claims.clear(claim, held),
            )
        yield from self._spec(folder, run_id, record)
        if not folder.exists():
            return
        yield from self._states(folder, record)
        for guard in sorted(folder.glob("claims/*.taking")):
            if claims.is_old(guard, self._now):
                yield self._finding("guard", guard, "was left behind by a takeover"), guard.unlink
        if self._named.isdisjoint({run_id}):
            yield self._finding("orphan", folder, "is named by no sweep"), None

    def _spec(self, folder: Path, run_id: str, record: CellRecord | None) -> Found:
        path = folder / SPEC
        try:
            read_spec(path, run_id)
            return
        except FileNotFoundError:
            what = "is missing"
        except DamagedFile as error:
            what = error.damage
        known = record.spec.to_dict() if record is not None else self._specs.get(run_id)
        if known is None:
            finding = self._finding("unknown cell", folder, f"has a spec.json that {what}")
            yield finding, lambda: set_aside(self._root, folder, lambda moved: True)
            return

        def write_anew() -> None:
            if path.exists():
                set_aside(self._root, path, lambda moved: fails(read_spec, moved, run_id))
            write_exclusive(path, json.dumps(known, indent=1) + "\n")

        yield self._finding("spec", path, what), write_anew

    def _states(self, folder: Path, record: CellRecord | None) -> Found:
        """Checkpoints and weights."""
        for path in (folder / CHECKPOINT, folder / FORK):
            if path.exists() and (damage := damage_of_zip(path)) is not None:
                error = DamagedFile(path, f"cannot be read ({damage})")
                yield self._damage("checkpoint", path, error, _is_broken_zip)
        weights = folder / WEIGHTS
        if weights.exists() and (damage := _damage_of_weights(weights)) is not None:
            error = DamagedFile(weights, f"cannot be read ({damage})")
            yield self._damage(
                "weights", weights, error, lambda moved: _damage_of_weights(moved) is not None
            )
        elif isinstance(record, RunRecord) and record.status == "done" and not weights.exists():
            yield self._finding("no weights", folder, f"is done and has no {WEIGHTS}"), None

    def _temporaries(self) -> Found:
        """Files of writers that were cut off; those in a cell that is being trained are left."""
        for place, folders, names in os.walk(self._root):
            folder = Path(place)
            if folder == self._root:
                folders[:] = [name for name in folders if name not in ("wandb", "damaged")]
            if (folder / CLAIM).exists() and not claims.is_stale(folder / CLAIM, self._now):
                folders[:] = []
                continue
            in_cache = self._store.cache in (folder, *folder.parents)
            seconds = _CACHE_SECONDS if in_cache else None
            for name in sorted(names):
                path = folder / name
                if not _TEMPORARY.fullmatch(name):
                    continue
                if not claims.is_old(path, self._now, seconds=seconds):
                    continue
                # A claim that somebody held when it was moved: its token stays used.
                is_claim = _CLAIM_ASIDE.fullmatch(name) is not None
                mend = _into_history(path) if is_claim else path.unlink
                yield self._finding("temporary", path, "was left behind by a write"), mend


def fails(read: Callable[..., object], *arguments: object) -> bool:
    try:
        read(*arguments)
    except DamagedFile:
        return True
    return False


def _into_history(aside: Path) -> Mend:
    def move() -> None:
        held = claims.read_claim(aside)
        if held is not None:
            claims.put_aside(aside, held, "lost")

    return move


def _is_broken_zip(path: Path) -> bool:
    return damage_of_zip(path) is not None


def _damage_of_weights(path: Path) -> str | None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy"):
            return None
    except (OSError, SafetensorError) as error:
        return str(error)
