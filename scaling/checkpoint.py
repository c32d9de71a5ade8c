"""Checkpoints: where a run starts from, and how one is written without ever being torn."""

from __future__ import annotations

import logging
import pickle  # only its exception: files are read with weights_only
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from scaling.cell_files import CHECKPOINT, FORK
from scaling.files import damage_of_zip, written_atomically
from scaling.spec import RunSpec

__all__ = ["CHECKPOINT", "FORK", "Session", "best_start", "furthest_fork", "save_checkpoint"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Session:
    """What earlier attempts at a run have spent.

    Attributes:
        origin_step: step at which this run's own training began; above 0 on a branch.
        forked_from: run id of the cell whose trunk it took over.
        seconds: training time of the attempts that led to the checkpoint.
    """

    origin_step: int = 0
    forked_from: str | None = None
    seconds: float = 0.0


def best_start(folder: Path, fork: Path | None, spec: RunSpec) -> tuple[Path | None, Session]:
    """The furthest checkpoint that this run may go on from: its own, else a trunk's.

    A file that cannot be read is passed over with a line in the log: the run then repeats the
    steps that it held.
    """
    own = _header(folder / CHECKPOINT)
    if own is not None and own["run_id"] == spec.run_id:
        return folder / CHECKPOINT, Session(**own["session"])
    trunk = _header(fork) if fork is not None else None
    if fork is not None and trunk is not None and trunk["trunk_id"] == spec.trunk_id:
        step = trunk["step"]
        if step <= spec.fork_step:
            return fork, Session(origin_step=step, forked_from=trunk["run_id"])
    return None, Session()


def furthest_fork(forks: Iterable[Path], spec: RunSpec) -> Path | None:
    """Of the trunk checkpoints of shorter runs, the furthest that can be read and lies on the way.

    One that cannot be read is passed over with a line in the log.
    """
    furthest, furthest_step = None, -1
    for fork in forks:
        header = _header(fork)
        if header is None or header["trunk_id"] != spec.trunk_id:
            continue
        if furthest_step < header["step"] <= spec.fork_step:
            furthest, furthest_step = fork, header["step"]
    return furthest


def label_checkpoint(checkpoint: dict[str, Any], spec: RunSpec, session: Session) -> dict[str, Any]:
    """Adds what `best_start` reads to a checkpoint that Lightning is about to write."""
    checkpoint["header"] = {
        "run_id": spec.run_id,
        "trunk_id": spec.trunk_id,
        "step": checkpoint["global_step"],
        "session": asdict(session),
    }
    return checkpoint


def save_checkpoint(trainer: pl.Trainer, path: Path) -> None:
    """Writes the trainer's state; all devices call it and the first one writes.

    The file takes its name once it is on disk, so that a kill leaves the earlier one.
    """
    if not trainer.is_global_zero:
        trainer.save_checkpoint(path)
        return
    with written_atomically(path) as partial:
        trainer.save_checkpoint(partial)


def _header(path: Path) -> dict[str, Any] | None:
    """What `label_checkpoint` wrote; None, with a line in the log, where the file is damaged."""
    if not path.exists():
        return None
    try:
        # The checksums first: torch's reader does not look at them.
        if (damage := damage_of_zip(path)) is None:
            header = torch.load(path, map_location="cpu", weights_only=True, mmap=True)["header"]
            if header.keys() >= {"run_id", "trunk_id", "step", "session"}:
                return header  # type: ignore[no-any-return]
            damage = "its header lacks a field"
    except (
        AttributeError, EOFError, KeyError, OSError, RuntimeError, TypeError, ValueError,
        pickle.UnpicklingError,
    ) as error:  # fmt: skip
        # The first line: torch goes on with advice to trust the file, which nobody should.
        damage = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
    _log.warning("%s is passed over, it cannot be read: %s", path, damage)
    return None
