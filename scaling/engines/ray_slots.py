"""A slot of a Ray cluster: an actor that holds the resources of one cell at a time.

The actor trains nothing itself. It owns a detached process and passes on what that tells; when
Ray kills the actor, the detached process has its cell write a checkpoint and end.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray

from scaling import machine
from scaling.engines.detached import Detached
from scaling.engines.node_facts import facts
from scaling.engines.ray_request import Request
from scaling.jobs import Job

# An exchange returns after that even when there is nothing to tell.
_PATIENCE_SECONDS = 1.0

# What the user sets for cells where the launch runs, and the nodes do not know.
_HANDED_OVER = ("WANDB_", "HF_", "SCALING_", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


class SlotActor:
    """Runs on a node. Each method returns within seconds, `stop` within a minute."""

    def __init__(self, root: str, threads: int, environment: Mapping[str, str]) -> None:
        self._root, self._threads, self._environment = Path(root), threads, environment
        self._process: Detached | None = None

    def open(self) -> dict[str, str]:
        """Starts the process of the cells; returns the facts of this node."""
        # Ray sets the number of threads by the CPUs of the actor; the cell goes by its seat.
        inherited = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
        self._process = Detached(self._root, self._threads, inherited | dict(self._environment))
        return facts(self._root)

    def exchange(self, job: Job | None) -> list[tuple[str, Any]]:
        """Has `job` trained, if there is one, and tells the news; see `Detached.news`."""
        assert self._process is not None, "open() comes first"
        if job is not None:
            self._process.give(job)
        return self._process.news(_PATIENCE_SECONDS)

    def stop(self) -> None:
        """Has the cell write its checkpoint and end."""
        if self._process is not None:
            self._process.stop()


@dataclass(eq=False, slots=True)
class RemoteCell:
    """A cell that is being trained on some node; see `scaling.engines.CellAtWork`."""

    job: Job
    first: dict[str, Any] = field(default_factory=dict)
    progress: dict[str, Any] = field(default_factory=dict)


@dataclass(eq=False, slots=True)
class Slot:
    """The launch's side of one actor.

    Attributes:
        devices: that its cells are trained on.
        reference: of the call that it has not answered yet.
        is_open: whether it has been placed on a node and can be given cells.
        cell: that it trains.
    """

    actor: Any
    devices: int
    reference: Any
    is_open: bool = False
    cell: RemoteCell | None = None

    def give(self, job: Job) -> None:
        self.cell = RemoteCell(job)
        self.reference = self.actor.exchange.remote(job)

    def listen(self) -> None:
        self.reference = self.actor.exchange.remote(None)


def new_slot(root: Path, request: Request, devices: int) -> Slot:
    """Asks Ray for a slot; it is open once its first call is answered."""
    environment = {k: v for k, v in os.environ.items() if k.startswith(_HANDED_OVER)}
    if not request.gpus:
        environment["CUDA_VISIBLE_DEVICES"] = ""
    threads = machine.chosen_threads() or max(1, int(request.cpus))
    # What is lost is pending again in the store: a restart by Ray would be a second truth.
    kind: Any = ray.remote(SlotActor).options(
        **request.of(devices), max_restarts=0, max_task_retries=0, scheduling_strategy="SPREAD"
    )
    actor = kind.remote(str(root), threads, environment)
    return Slot(actor=actor, devices=devices, reference=actor.open.remote())
