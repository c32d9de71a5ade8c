"""What a sweep will train and what it will cost, before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from scaling import accounting
from scaling.jobs import Clock, Job, make_jobs
from scaling.resolve import counts
from scaling.store import ENDED, State, Store
from scaling.sweep import Excluded, Sweep


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedCell:
    """A cell and its cost.

    Attributes:
        params_total: with embeddings, the N of fits unless told otherwise;
            params_non_embedding: without them, the N of recipes and of tokens per parameter.
        train_flops: exact, as if trained from scratch: the number that fits use.
        own_flops: what this cell adds when it starts from the trunk of the next shorter one.
        memory_bytes: estimated footprint of its training.
        train_seconds: of its own part, on one worker; null without a calibration.
    """

    run_id: str
    labels: dict[str, Any]
    state: State
    depends_on: str | None
    params_total: int
    params_non_embedding: int
    train_tokens: int
    train_flops: float
    own_flops: float
    memory_bytes: int
    train_seconds: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """The cells of a sweep with their costs.

    Attributes:
        left_seconds: time until the sweep is done with `workers` at a time; null as above.
    """

    sweep: str
    workers: int
    cells: tuple[PlannedCell, ...]
    excluded: tuple[Excluded, ...]
    notes: tuple[str, ...]
    left_seconds: float | None

    @property
    def left(self) -> list[PlannedCell]:
        return [cell for cell in self.cells if cell.state not in ENDED]

    def to_dict(self) -> dict[str, Any]:
        return {
            "sweep": self.sweep,
            "workers": self.workers,
            "cells": [asdict(cell) for cell in self.cells],
            "excluded": [point.to_dict() for point in self.excluded],
            "notes": list(self.notes),
            "total": {
                "train_flops": sum(cell.train_flops for cell in self.cells),
                "own_flops": sum(cell.own_flops for cell in self.cells),
                "left_flops": sum(cell.own_flops for cell in self.left),
                "left_seconds": self.left_seconds,
            },
        }


def make_plan(sweep: Sweep, store: Store, *, workers: int, clock: Clock | None) -> Plan:
    """The costs of a sweep on this machine.

    Args:
        clock: without one no times are given.
    """
    states = store.states(cell.run_id for cell in sweep.cells)
    jobs = {job.run_id: job for job in make_jobs(sweep.cells, clock=clock)}
    cells = []
    for cell in sweep.cells:
        job = jobs[cell.run_id]
        cells.append(
            PlannedCell(
                run_id=cell.run_id,
                labels=cell.labels,
                state=states[cell.run_id],
                depends_on=cell.depends_on,
                params_total=accounting.params_total(cell.spec),
                params_non_embedding=counts(cell.spec)[0],
                train_tokens=cell.spec.train_tokens,
                train_flops=job.train_flops_per_token * cell.spec.train_tokens,
                own_flops=job.own_flops,
                memory_bytes=job.memory_bytes,
                train_seconds=job.own_seconds,
            )
        )
    return Plan(
        sweep=sweep.name,
        workers=workers,
        cells=tuple(cells),
        excluded=sweep.excluded,
        notes=sweep.notes,
        left_seconds=_left_seconds(cells, jobs, workers),
    )


def _left_seconds(cells: Sequence[PlannedCell], jobs: dict[str, Job], workers: int) -> float | None:
    """The work shared evenly, or the longest chain where that takes longer."""
    seconds: dict[str, float] = {}
    for cell in cells:
        if cell.state not in ENDED:
            if cell.train_seconds is None:
                return None
            seconds[cell.run_id] = cell.train_seconds
    chains = (
        own + sum(seconds.get(shorter, 0.0) for shorter in jobs[run_id].shorter)
        for run_id, own in seconds.items()
    )
    return max(sum(seconds.values()) / workers, max(chains, default=0.0))
