"""How a sweep is getting on, read from the store alone: any process on any machine can ask."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from scaling import claims
from scaling.cell_files import CLAIM
from scaling.errors import DamagedFile
from scaling.evaluation_cell import is_evaluation
from scaling.history import attempts
from scaling.live import read_live
from scaling.logs import LOG, TRACEBACK, last_line
from scaling.store import ENDED, SETTLED, State, Store

_UNMET = SETTLED - {"done"}
# An evaluation whose run ended without a result waits for nothing that is under way.
_BLOCKED = "blocked"


@dataclass(frozen=True, kw_only=True, slots=True)
class CellStatus:
    """One cell of a sweep; paths are text, for JSON.

    Attributes:
        state: of the store, `excluded`, or `blocked`: its run ended without a result.
        measurement: of an evaluation; null for a training run.
        reason: why it is excluded, cancelled or ended without a result.
        attempts: how often it was started.
        machine, pid: of the last attempt.
        tokens, train_tokens: of an evaluation, the parts that are done and all, as `unit` says.
        tokens: trained so far, as last reported: the checkpoint of a killed run may be behind.
        tokens_per_second, losses: of a running cell; null and empty for the others.
        own_flops, train_flops: from the forecast of the sweep; null where there is none.
        started: of the last attempt, ISO 8601 in UTC.
    """

    run_id: str | None
    labels: dict[str, Any]
    state: str
    reason: str | None = None
    attempts: int = 0
    machine: str | None = None
    pid: int | None = None
    started: str | None = None
    tokens: int | None = None
    train_tokens: int | None = None
    tokens_per_second: float | None = None
    losses: dict[str, float] = field(default_factory=dict)
    own_flops: float | None = None
    train_flops: float | None = None
    last_log_line: str | None = None
    log: str | None = None
    traceback: str | None = None
    measurement: str | None = None
    unit: str = "tokens"

    @property
    def is_over(self) -> bool:
        """Whether nobody works on it or will, as things are."""
        return self.state in SETTLED or self.state == _BLOCKED


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepStatus:
    """All cells of a sweep at one moment.

    Attributes:
        refused: names of results that came second.
    """

    sweep: str
    cells: tuple[CellStatus, ...]
    refused: tuple[str, ...]

    @property
    def counts(self) -> dict[str, int]:
        return dict(Counter(cell.state for cell in self.cells))

    @property
    def trained(self) -> list[CellStatus]:
        """All cells but those that the sweep excludes."""
        return [cell for cell in self.cells if cell.state != "excluded"]

    @property
    def running(self) -> list[CellStatus]:
        return [cell for cell in self.cells if cell.state == "running"]

    @property
    def unmet(self) -> list[CellStatus]:
        """Those that ended without a result, or are cancelled."""
        return [cell for cell in self.cells if cell.state in _UNMET]

    @property
    def is_over(self) -> bool:
        return all(cell.is_over for cell in self.trained)

    @property
    def tokens_per_second(self) -> float:
        """Summed over the running cells."""
        return sum(cell.tokens_per_second or 0.0 for cell in self.running)

    @property
    def seconds_left(self) -> float | None:
        """Work that is left over the FLOPs per second of the running cells.

        Never less than what the slowest of them still needs. None while nothing runs at a known
        speed, or where the sweep has no forecast to tell the FLOPs of its cells.
        """
        if self.is_over:
            return 0.0
        speed = left = longest = 0.0
        for cell in self.trained:
            if cell.is_over or cell.measurement is not None:
                continue
            if cell.own_flops is None or not cell.train_flops or not cell.train_tokens:
                return None
            per_token = cell.train_flops / cell.train_tokens
            rest = cell.own_flops
            if cell.tokens is not None:
                rest = min(rest, (cell.train_tokens - cell.tokens) * per_token)
            left += rest
            if cell.state == "running" and cell.tokens_per_second:
                own_speed = cell.tokens_per_second * per_token
                speed += own_speed
                longest = max(longest, rest / own_speed)
        return max(left / speed, longest) if speed else None

    def to_dict(self) -> dict[str, Any]:
        return {
            "sweep": self.sweep,
            "counts": self.counts,
            "tokens_per_second": self.tokens_per_second,
            "seconds_left": self.seconds_left,
            "cells": [asdict(cell) for cell in self.cells],
            "refused": list(self.refused),
        }


class StatusReader:
    """Reads the status of one sweep again and again; what has ended is read once."""

    def __init__(self, store: Store, name: str) -> None:
        self._store, self._name = store, name
        self._listed = store.sweep_cells(name)
        self._flops = _flops(store, name)
        self._ended: dict[str, CellStatus] = {}

    def read(self) -> SweepStatus:
        """Raises StoreError where the store does not know the sweep."""
        run_ids = [cell["run_id"] for cell in self._listed if not cell["excluded"]]
        states = self._store.states(run_ids)
        return SweepStatus(
            sweep=self._name,
            cells=tuple(self._cell(cell, states) for cell in self._listed),
            refused=tuple(n for n in self._store.refused() if n.partition(".")[0] in states),
        )

    def _cell(self, listed: dict[str, Any], states: dict[str, State]) -> CellStatus:
        run_id, labels = listed["run_id"], listed["labels"]
        if listed["excluded"]:
            return CellStatus(
                run_id=run_id, labels=labels, state="excluded", reason=listed["excluded"]
            )
        state = states[run_id]
        run_state = states.get(listed["depends_on"])
        if is_evaluation(listed["spec"]) and state == "pending" and run_state in _UNMET:
            return CellStatus(
                run_id=run_id,
                labels=labels,
                state=_BLOCKED,
                reason=f"its run {listed['depends_on']} is {run_state}",
                measurement=listed["spec"]["measurement"],
            )
        known = self._ended.get(run_id)
        if known is not None and known.state == state:
            return known
        found = self._read(listed, state)
        if state in ENDED:
            self._ended[run_id] = found
        return found

    def _read(self, listed: dict[str, Any], state: State) -> CellStatus:
        run_id = listed["run_id"]
        folder = self._store.folder(run_id)
        tried = attempts(folder)
        last = tried[-1] if tried else None
        log, trace = folder / LOG, folder / TRACEBACK
        own_flops, train_flops = self._flops.get(run_id, (None, None))
        return CellStatus(
            run_id=run_id,
            labels=listed["labels"],
            state=state,
            reason=reason_of(self._store, run_id, state),
            attempts=len(tried),
            machine=last.machine if last else None,
            pid=last.pid if last else None,
            started=last.started if last else None,
            measurement=listed["spec"].get("measurement"),
            own_flops=own_flops,
            train_flops=train_flops,
            last_log_line=last_line(log),
            log=str(log) if log.exists() else None,
            traceback=str(trace) if trace.exists() else None,
            **{"train_tokens": listed["spec"].get("train_tokens")} | self._progress(run_id, state),
        )

    def _progress(self, run_id: str, state: State) -> dict[str, Any]:
        """What is known of tokens, speed and losses."""
        if state in ENDED:
            try:
                record = self._store.run_record(run_id)
            except DamagedFile:
                return {}
            return {"tokens": record.tokens_seen if record is not None else None}
        folder = self._store.folder(run_id)
        live = read_live(folder)
        if live is None:
            return {}
        if state != "running":
            return {"tokens": live.tokens}
        held = claims.read_claim(folder / CLAIM) or {}
        if held.get("owner") != live.owner:
            return {}  # the last words of an earlier attempt
        return {
            "tokens": live.tokens,
            "train_tokens": live.train_tokens,
            "unit": live.unit,
            "tokens_per_second": live.tokens_per_second,
            "losses": live.losses,
        }


def reason_of(store: Store, run_id: str, state: State) -> str | None:
    """Why a cell has no result, safe to print; None where it has one or may still get one."""
    return None if state in ("pending", "running", "done") else store.reason(run_id) or None


def _flops(store: Store, name: str) -> dict[str, tuple[float, float]]:
    """run id -> FLOPs of the cell's own part and of all of it, as its forecast says."""
    try:
        forecast = json.loads((store.sweep_folder(name) / "plan.json").read_bytes())
        return {
            str(cell["run_id"]): (float(cell["own_flops"]), float(cell["train_flops"]))
            for cell in forecast["cells"]
        }
    except (OSError, ValueError, KeyError, TypeError):
        return {}
