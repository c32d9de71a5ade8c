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
from typing import TYPE_CHECKING, Protocol

from scaling.errors import EngineError
from scaling.jobs import Job

if TYPE_CHECKING:
    from scaling.engines.local import Display

ENGINES: dict[str, str] = {
    "local": "scaling.engines.local:run_jobs",
    "slurm": "scaling.engines.slurm:run_jobs",
}


class Engine(Protocol):
    """Has every job trained that has not ended.

    An engine that hands them to a batch system may return before they have ended.

    Raises:
        KeyboardInterrupt: Ctrl-C or SIGTERM; every cell has written its checkpoint.
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
    module, _, function = ENGINES[name].partition(":")
    engine: Engine = getattr(import_module(module), function)
    return engine


def prepare_engine(name: str, workers: int | None) -> None:
    """Lets an engine that has a `prepare` do what takes time while the sweep is read."""
    prepare = getattr(import_module(ENGINES[name].partition(":")[0]), "prepare", None)
    if prepare is not None:
        prepare(workers)


def check_options(engine: str, options: Mapping[str, str], known: Iterable[str]) -> None:
    """Raises EngineError for an option that the engine has not."""
    known = sorted(known)
    for name in options:
        if name not in known:
            listed = ", ".join(known) or "none"
            raise EngineError(f"the engine {engine} has no option {name!r}; its options: {listed}")
