"""What a sweep will train and what it will cost, before anything is trained."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from scaling import accounting
from scaling.jobs import Clock, Job, make_jobs
from scaling.price import Price
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
        device_hours: the same over all devices that the cell is trained on together.
        fits: whether a device has that much memory when nothing else runs on it; null where the
            devices are on other machines.
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
    device_hours: float | None
    fits: bool | None


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedEvaluation:
    """A measurement of a run; what it takes is not known beforehand."""

    run_id: str
    labels: dict[str, Any]
    state: State
    depends_on: str
    measurement: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """The cells of a sweep with their costs.

    Attributes:
        workers: null where the engine has not been told how many.
        left_seconds: time until the sweep is done with `workers` at a time; null without a
            calibration.
        device_memory_bytes: what one device has for a cell; null where the devices are on other
            machines. A device is what one worker holds: a GPU, or its share of the processors.
        price: per device-hour.
    """

    sweep: str
    workers: int | None
    cells: tuple[PlannedCell, ...]
    excluded: tuple[Excluded, ...]
    notes: tuple[str, ...]
    left_seconds: float | None
    device_memory_bytes: int | None
    price: Price | None = None
    evaluations: tuple[PlannedEvaluation, ...] = ()

    @property
    def evaluations_left(self) -> list[PlannedEvaluation]:
        return [cell for cell in self.evaluations if cell.state not in ENDED]

    @property
    def left(self) -> list[PlannedCell]:
        return [cell for cell in self.cells if cell.state not in ENDED]

    @property
    def left_device_hours(self) -> float | None:
        return _sum_known(cell.device_hours for cell in self.left)

    @property
    def too_large(self) -> list[PlannedCell]:
        """Cells still to train that no device has the memory for."""
        return [cell for cell in self.left if cell.fits is False]

    def to_dict(self) -> dict[str, Any]:
        return {
            "sweep": self.sweep,
            "workers": self.workers,
            "cells": [asdict(cell) for cell in self.cells],
            "evaluations": [asdict(cell) for cell in self.evaluations],
            "excluded": [point.to_dict() for point in self.excluded],
            "notes": list(self.notes),
            "device_memory_bytes": self.device_memory_bytes,
            "price_per_device_hour": self.price and asdict(self.price),
            "total": {
                "train_flops": sum(cell.train_flops for cell in self.cells),
                "own_flops": sum(cell.own_flops for cell in self.cells),
                "left_flops": sum(cell.own_flops for cell in self.left),
                "left_seconds": self.left_seconds,
                "device_hours": _sum_known(cell.device_hours for cell in self.cells),
                "left_device_hours": self.left_device_hours,
                "left_cost": self._cost(self.left_device_hours),
                "memory_bytes": max((cell.memory_bytes for cell in self.left), default=0),
            },
        }

    def _cost(self, device_hours: float | None) -> float | None:
        if self.price is None or device_hours is None:
            return None
        return self.price.amount * device_hours


def make_plan(
    sweep: Sweep,
    store: Store,
    *,
    workers: int | None,
    clock: Clock | None,
    device_memory_bytes: int | None,
    price: Price | None = None,
) -> Plan:
    """The costs of a sweep.

    Args:
        clock: without one no times are given.
        device_memory_bytes: see `scaling.capacity`; None where the devices are elsewhere.
        price: instead of the one that the sweep gives.
    """
    states = store.states(cell.run_id for cell in sweep.all_cells)
    jobs = {job.run_id: job for job in make_jobs(sweep.cells, clock=clock)}
    most_bytes = device_memory_bytes
    cells = []
    for cell in sweep.cells:
        job = jobs[cell.run_id]
        seconds = job.own_seconds
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
                device_hours=None if seconds is None else seconds * job.devices / 3600,
                fits=None if most_bytes is None else job.memory_bytes <= most_bytes,
            )
        )
    return Plan(
        sweep=sweep.name,
        workers=workers,
        cells=tuple(cells),
        excluded=sweep.excluded,
        notes=sweep.notes,
        left_seconds=_left_seconds(cells, jobs, workers),
        device_memory_bytes=device_memory_bytes,
        price=price or sweep.price,
        evaluations=tuple(
            PlannedEvaluation(
                run_id=cell.run_id,
                labels=cell.labels,
                state=states[cell.run_id],
                depends_on=cell.spec.of,
                measurement=cell.spec.measurement,
            )
            for cell in sweep.evaluations
        ),
    )


def _sum_known(values: Iterable[float | None]) -> float | None:
    """The sum; None where a part of it is not known."""
    total = 0.0
    for value in values:
        if value is None:
            return None
        total += value
    return total


def _left_seconds(
    cells: Sequence[PlannedCell], jobs: dict[str, Job], workers: int | None
) -> float | None:
    """The work shared evenly, or the longest chain where that takes longer."""
    if workers is None:
        return None
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
