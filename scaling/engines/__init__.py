"""Engines start workers; the store alone knows what has been done.

An engine is a function `run_jobs(root, jobs, *, workers, display, options)` that has
`scaling.worker.run_cell` called for each job, in processes wherever it likes. It keeps no state of
its own that matters: whatever it loses, the next launch finds in the store. To add one, write a
file and name it here; a function `prepare(workers)` in it is called before the sweep is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from scaling.errors import EngineError
from scaling.install import install_command
from scaling.jobs import Job, Queue

ENGINES: dict[str, str] = {
    "local": "scaling.engines.local:run_jobs",
    "ray": "scaling.engines.ray:run_jobs",
    "slurm": "scaling.engines.slurm:run_jobs",
}


class CellAtWork(Protocol):
    """A cell that is being trained, wherever that is.

    Attributes:
        first: the first progress that it reported, for its speed since then.
        progress: the last one, as a `scaling.watch.Progress` in JSON. Both are empty before.
    """

    @property
    def job(self) -> Job: ...

    @property
    def first(self) -> dict[str, Any]: ...

    @property
    def progress(self) -> dict[str, Any]: ...


class Display(Protocol):
    """Shows how a sweep is getting on."""

    def update(self, queue: Queue, running: Sequence[CellAtWork]) -> None: ...


class DisplayLeft(KeyboardInterrupt):
    """Ctrl-C while the engine only shows what others train: they go on; the message says so."""


class Engine(Protocol):
    """Has every job trained that has not ended.

    An engine that hands them to a batch system may return before they have ended.

    Raises:
        KeyboardInterrupt: Ctrl-C or SIGTERM; every cell has written its checkpoint, but for
            DisplayLeft.
        StoreError: no cell can be trained, such as when the disk is full.
        EngineError: the engine cannot be had as asked: not installed, not reached, a wrong option.
    """

    def __call__(
        self,
        root: Path,
        jobs: Sequence[Job],
        *,
        workers: int | None,
        display: Display,
        options: Mapping[str, str],
    ) -> None: ...


def load_engine(name: str) -> Engine:
    """Raises EngineError where the library that the engine stands on is not installed."""
    engine: Engine = getattr(_module(name), ENGINES[name].partition(":")[2])
    return engine


def prepare_engine(name: str, workers: int | None) -> None:
    """Lets an engine that has a `prepare` do what takes time while the sweep is read."""
    prepare = getattr(_module(name), "prepare", None)
    if prepare is not None:
        prepare(workers)


def _module(name: str) -> ModuleType:
    try:
        return import_module(ENGINES[name].partition(":")[0])
    except ModuleNotFoundError as error:
        # The extra of an engine has its name, and so has the library.
        if error.name != name:
            raise
        raise EngineError(
            f"the engine {name} needs the package {name}, here and on every node; install it "
            f"with: {install_command(name)}"
        ) from None


def check_options(engine: str, options: Mapping[str, str], known: Iterable[str]) -> None:
    """Raises EngineError for an option that the engine has not."""
    known = sorted(known)
    for name in options:
        if name not in known:
            listed = ", ".join(known) or "none"
            raise EngineError(f"the engine {engine} has no option {name!r}; its options: {listed}")
