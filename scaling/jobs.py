"""What is left to do of a sweep, and in which order.

A job is a cell with all that a worker has to be told, in plain values, so that any engine can hand
it over. The longest chain goes first: what would end last is what has to start first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from scaling.record import Status
from scaling.store import ENDED, State, Store

if TYPE_CHECKING:
    from scaling.sweep import Cell

# What became of an attempt: the status that was published, or why none was.
Outcome = Status | Literal["interrupted", "busy"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """An attempt at a cell; nothing but the run id may change its result.

    Attributes:
        shorter: runs of the same trunk, the longest first, whose fork may be taken over.
        own_tokens: those left to train when the nearest of them has left its fork.
        devices: processors or GPUs that the cell is trained on together.
        strategy: how its model is laid out over them.
        timeout_seconds: time after which the attempt ends as `timeout`.
        sweep, labels, project, wandb_mode: what W&B shows; see `scaling.tracking.make_logger`.
    """

    run_id: str
    shorter: tuple[str, ...] = ()
    train_tokens: int = 0
    own_tokens: int = 0
    train_flops_per_token: float = 0.0
    devices: int = 1
    strategy: Literal["ddp", "fsdp"] = "ddp"
    timeout_seconds: float | None = None
    sweep: str = "cells"
    labels: Mapping[str, Any] = field(default_factory=dict)
    project: str | None = None
    wandb_mode: str | None = None

    @property
    def own_flops(self) -> float:
        return self.own_tokens * self.train_flops_per_token


def make_jobs(cells: Iterable[Cell], **options: Any) -> list[Job]:
    """The jobs of a sweep; `options` are fields of `Job` that all of them share."""
    from scaling.resolve import counts

    by_id = {cell.run_id: cell for cell in cells}
    jobs = []
    for cell in by_id.values():
        shorter = []
        previous = cell.depends_on
        while previous is not None:
            shorter.append(previous)
            previous = by_id[previous].depends_on
        taken_over = by_id[shorter[0]].spec.fork_tokens if shorter else 0
        jobs.append(
            Job(
                run_id=cell.run_id,
                shorter=tuple(shorter),
                train_tokens=cell.spec.train_tokens,
                own_tokens=cell.spec.train_tokens - taken_over,
                train_flops_per_token=counts(cell.spec)[1],
                labels=cell.labels,
                **options,
            )
        )
    return jobs


class Queue:
    """The jobs that have not ended, by what the store says of them.

    Attributes:
        states: the last known state of every job.
        here: run ids that this launcher works on.
    """

    def __init__(self, jobs: Iterable[Job], store: Store) -> None:
        self._store = store
        chain_flops = _chain_flops(list(jobs))
        self._jobs = {job.run_id: job for job, _ in sorted(chain_flops, key=lambda pair: -pair[1])}
        self.states: dict[str, State] = {}
        self.here: set[str] = set()
        self.refresh()

    def refresh(self, run_id: str | None = None) -> None:
        """Reads the state of one job, or of all that had not ended."""
        wanted = [run_id] if run_id else [i for i in self._jobs if not self.ended(i)]
        self.states |= self._store.states(wanted)

    def ended(self, run_id: str) -> bool:
        return self.states.get(run_id) in ENDED

    def next(self) -> Job | None:
        """The job to start now: pending, and its trunk is as far as it will get."""
        for run_id, job in self._jobs.items():
            if run_id in self.here or self.states[run_id] != "pending":
                continue
            if job.shorter and not self.ended(job.shorter[0]):
                continue
            self.refresh(run_id)
            if self.states[run_id] == "pending":
                return job
        return None

    @property
    def unfinished(self) -> list[Job]:
        return [job for run_id, job in self._jobs.items() if not self.ended(run_id)]

    def counts(self) -> dict[str, int]:
        """Number of jobs per state; those that this launcher works on count as running."""
        found: dict[str, int] = {}
        for run_id, state in self.states.items():
            state = "running" if run_id in self.here and state not in ENDED else state
            found[state] = found.get(state, 0) + 1
        return found


def _chain_flops(jobs: list[Job]) -> list[tuple[Job, float]]:
    """Each job with the FLOPs from it to the end of its chain."""
    longer = {job.shorter[0]: job for job in jobs if job.shorter}
    found = []
    for job in jobs:
        flops, step = 0.0, job
        while True:
            flops += step.own_flops
            if step.run_id not in longer:
                break
            step = longer[step.run_id]
        found.append((job, flops))
    return found
