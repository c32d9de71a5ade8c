"""What is left to do of a sweep, and in which order.

A job is a cell with all that a worker has to be told, in plain values, so that any engine can hand
it over. The longest chain goes first: what would end last is what has to start first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol

from scaling.compiling import Compile, CompileSwitch, choose
from scaling.record import Status
from scaling.split import Split, Strategy
from scaling.store import SETTLED, State, Store

if TYPE_CHECKING:
    from scaling.spec import RunSpec
    from scaling.sweep import Cell
    from scaling.sweep_evaluations import EvaluationCell

# What became of an attempt: the status that was published, or why none was.
Outcome = Status | Literal["interrupted", "busy"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """An attempt at a cell; nothing but the run id may change its result.

    Attributes:
        shorter: runs of the same trunk, the longest first, whose fork may be taken over.
        of: the run that this job measures; None for a job that trains.
        own_tokens: those left to train when the nearest of them has left its fork.
        own_seconds: what they take on one worker, where that was measured.
        memory_bytes: estimated footprint of its training on each device.
        devices: processors or GPUs that the cell is trained on together.
        strategy: how its model is laid out over them.
        micro_batch: sequences that a device takes through the model at a time; None for its
            whole share of a batch.
        compile: whether its steps are compiled; see `scaling.compiling`.
        timeout_seconds: time after which the attempt ends as `timeout`.
        sweep, labels, project, wandb_mode: what W&B shows; see `scaling.tracking.make_logger`.
    """

    run_id: str
    shorter: tuple[str, ...] = ()
    of: str | None = None
    train_tokens: int = 0
    own_tokens: int = 0
    train_flops_per_token: float = 0.0
    own_seconds: float | None = None
    memory_bytes: int = 0
    devices: int = 1
    strategy: Strategy = "ddp"
    micro_batch: int | None = None
    compile: Compile = "off"
    timeout_seconds: float | None = None
    sweep: str = "cells"
    labels: Mapping[str, Any] = field(default_factory=dict)
    project: str | None = None
    wandb_mode: str | None = None

    @property
    def split(self) -> Split:
        return Split(devices=self.devices, strategy=self.strategy, micro_batch=self.micro_batch)

    @property
    def waits_for(self) -> str | None:
        """The cell that comes before this one; None where there is none."""
        return self.of or next(iter(self.shorter), None)

    @property
    def own_flops(self) -> float:
        return self.own_tokens * self.train_flops_per_token


class Clock(Protocol):
    """Knows how long training takes; `scaling.calibration.Speed` is one."""

    def train_seconds(self, spec: RunSpec, tokens: int) -> float | None: ...


def make_jobs(
    cells: Iterable[Cell],
    *,
    clock: Clock | None = None,
    compile_switch: CompileSwitch = "off",
    **options: Any,
) -> list[Job]:
    """The jobs of a sweep.

    Args:
        compile_switch: what `choose` makes of it for each run goes into its job.
        clock: gives their seconds, for their order.
        options: fields of `Job` that all of them share.
    """
    from scaling.resolve import counts, memory_bytes

    by_id = {cell.run_id: cell for cell in cells}
    jobs = []
    for cell in by_id.values():
        shorter = []
        previous = cell.depends_on
        while previous is not None:
            shorter.append(previous)
            previous = by_id[previous].depends_on
        taken_over = by_id[shorter[0]].spec.fork_tokens if shorter else 0
        own_tokens = cell.spec.train_tokens - taken_over
        jobs.append(
            Job(
                run_id=cell.run_id,
                shorter=tuple(shorter),
                train_tokens=cell.spec.train_tokens,
                own_tokens=own_tokens,
                train_flops_per_token=counts(cell.spec)[1],
                own_seconds=clock.train_seconds(cell.spec, own_tokens) if clock else None,
                memory_bytes=memory_bytes(cell.spec),
                labels=cell.labels,
                **options,
            )
        )
    by_choice = choose(compile_switch, ((by_id[job.run_id].spec, job.own_flops) for job in jobs))
    return [replace(job, compile=by_choice[job.run_id]) for job in jobs]


def make_evaluation_jobs(evaluations: Iterable[EvaluationCell], **options: Any) -> list[Job]:
    """The jobs that measure finished runs.

    Args:
        options: fields of `Job` that all of them share.
    """
    from scaling.resolve import memory_bytes

    return [
        Job(
            run_id=cell.run_id,
            of=cell.spec.of,
            memory_bytes=memory_bytes(cell.run),
            labels=cell.labels,
            **options,
        )
        for cell in evaluations
    ]


class Queue:
    """The jobs that have not ended, by what the store says of them.

    Attributes:
        states: the last known state of every job.
        here: run ids that this launcher works on.
        blocked: run ids of evaluations whose run ended without a result.
    """

    def __init__(self, jobs: Iterable[Job], store: Store) -> None:
        self._store = store
        # By run id, the longest chain first.
        self._left = {job.run_id: job for job in _longest_first(list(jobs))}
        self.states: dict[str, State] = {}
        # Of runs that another launch has trained or trains, and this one evaluates.
        self._others: dict[str, State] = {}
        self.here: set[str] = set()
        self.blocked: set[str] = set()
        self.refresh()

    def refresh(self, run_id: str | None = None) -> None:
        """Reads the state of one job, or of all that had not ended."""
        found = self._store.states([run_id] if run_id else list(self._left))
        self.states |= found
        for ended in (i for i, state in found.items() if state in SETTLED):
            self._left.pop(ended, None)
        measured = {job.of for job in self._left.values() if job.of is not None}
        self._others |= self._store.states(
            of for of in sorted(measured - self.states.keys()) if self._others.get(of) != "done"
        )
        for job in list(self._left.values()):
            if job.of is not None and self._state(job.of) in SETTLED - {"done"}:
                self.blocked.add(job.run_id)
                del self._left[job.run_id]

    def _state(self, run_id: str) -> State:
        return self.states.get(run_id) or self._others[run_id]

    def ended(self, run_id: str) -> bool:
        """Whether this launch has nothing more to expect of the job: it ended or is cancelled."""
        return self.states.get(run_id) in SETTLED or run_id in self.blocked

    def waiting(self) -> Iterator[Job]:
        """The jobs that may start, as far as is known: pending, their trunk as far as it gets."""
        for run_id, job in self._left.items():
            if run_id in self.here or self.states[run_id] != "pending":
                continue
            if job.of is not None:
                is_ready = self._state(job.of) == "done"
            else:
                is_ready = not job.shorter or self.ended(job.shorter[0])
            if is_ready:
                yield job

    def is_free(self, job: Job) -> bool:
        """Whether the job still waits, by a fresh look at the store."""
        self.refresh(job.run_id)
        return self.states[job.run_id] == "pending"

    def next(self) -> Job | None:
        """The job to start now."""
        return next((job for job in list(self.waiting()) if self.is_free(job)), None)

    def put_back(self, job: Job) -> None:
        """Lets a job whose attempt died wait behind the others, while what killed it passes."""
        if job.run_id in self._left:
            self._left[job.run_id] = self._left.pop(job.run_id)

    @property
    def unfinished(self) -> list[Job]:
        return list(self._left.values())

    def counts(self) -> dict[str, int]:
        """Number of jobs per state; those that this launcher works on count as running."""
        found: dict[str, int] = {}
        for run_id, state in self.states.items():
            shown: str = "running" if run_id in self.here and state not in SETTLED else state
            shown = "blocked" if run_id in self.blocked else shown
            found[shown] = found.get(shown, 0) + 1
        return found


def _longest_first(jobs: list[Job]) -> list[Job]:
    """By the work from each job to the end of its chain."""
    longer = {job.shorter[0]: job for job in jobs if job.shorter}
    rate = _measured_rate(jobs)
    left: dict[str, float] = {}

    def work_left(job: Job) -> float:
        chain = [job]
        while chain[-1].run_id not in left and chain[-1].run_id in longer:
            chain.append(longer[chain[-1].run_id])
        for step in reversed(chain):
            if step.run_id not in left:
                own = step.own_flops / rate if step.own_seconds is None else step.own_seconds
                behind = longer.get(step.run_id)
                left[step.run_id] = own + (left[behind.run_id] if behind else 0.0)
        return left[job.run_id]

    return sorted(jobs, key=lambda job: -work_left(job))


def _measured_rate(jobs: Iterable[Job]) -> float:
    """FLOPs per second of the jobs that were measured, for the others; 1 where none was."""
    measured = [job for job in jobs if job.own_seconds]
    seconds = sum(job.own_seconds or 0.0 for job in measured)
    return sum(job.own_flops for job in measured) / seconds if seconds else 1.0
