"""Checkpoints: where a run starts from, and how one is written without ever being torn."""

from __future__ import annotations

import pickle  # only its exception: files are read with weights_only
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from scaling.files import written_atomically
from scaling.spec import RunSpec

CHECKPOINT = "checkpoint.pt"
FORK = "fork.pt"


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

    A file that cannot be read is passed over: the run then repeats the steps it held.
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
    if not path.exists():
        return None
    try:
        header: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True, mmap=True)[
            "header"
        ]
    except (OSError, RuntimeError, EOFError, KeyError, ValueError, pickle.UnpicklingError):
        return None
    return header
