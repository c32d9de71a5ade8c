"""W&B: one run per cell, offline unless the user asks otherwise, never in the way of training.

W&B is a mirror; the store is the truth. A thread owns the W&B run: it opens it, writes the rows
and closes it, so training waits for none of that, and whatever breaks there ends in one warning.
"""

from __future__ import annotations

import importlib
import logging
import operator
import os
from collections.abc import Callable, Mapping
from numbers import Integral
from pathlib import Path
from types import TracebackType
from typing import Any

from lightning_fabric.loggers.logger import rank_zero_experiment
from lightning_utilities.core.rank_zero import rank_zero_only
from pytorch_lightning.loggers.logger import DummyLogger
from pytorch_lightning.loggers.wandb import WandbLogger

from scaling.cell_read import CellRecord, CellSpec
from scaling.redact import redact
from scaling.spec import RunSpec
from scaling.throughput import MFU, TRAIN_FLOPS_PER_SECOND
from scaling.wandb_mirror.arguments import run_arguments
from scaling.wandb_mirror.content import final_summary
from scaling.wandb_mirror.project import DEFAULT_PROJECT
from scaling.wandb_writer import COUNTERS, WandbWriter

MODES = ("offline", "online", "disabled")
# Whoever interrupts a run kills it when it takes long to end.
ABORT_SECONDS = 10.0

_log = logging.getLogger(__name__)


def make_logger(
    spec: CellSpec,
    *,
    run_id: str,
    root: Path,
    sweep: str,
    labels: Mapping[str, Any],
    project: str | None = None,
    mode: str | None = None,
    devices: int = 1,
) -> RunTracker | None:
    """Opens the W&B run of one cell, in the background.

    Args:
        root: the store; runs go to `<root>/wandb/`.
        labels: what the sweep calls the cell, such as `{"size": "25k", "seed": 0}`.
        project: of the sweep file; else WANDB_PROJECT, else `scaling`.
        mode: one of `MODES`; else WANDB_MODE, else `offline`.
        devices: that the cell is trained on together.
    Returns:
        None where the user has disabled W&B or it is broken: training goes on without.
    """
    mode = wandb_mode(mode)
    if mode == "disabled":
        return None
    try:
        return RunTracker(
            spec,
            run_id=run_id,
            root=Path(root).absolute(),
            sweep=sweep,
            labels=labels,
            project=project or os.environ.get("WANDB_PROJECT") or DEFAULT_PROJECT,
            mode=mode,
            peak_flops_per_second=_peak_flops_per_second(spec, Path(root) / "cache", devices),
        )
    except Exception as error:
        _log.warning("no W&B for this run: %s; training goes on without it", error)
        return None


def _peak_flops_per_second(spec: CellSpec, cache: Path, devices: int) -> float | None:
    """Of all that the cell is trained on, where `scaling bench` has measured this machine."""
    from scaling.bench.cache import FILE, peak_flops_per_second

    if not isinstance(spec, RunSpec) or not (cache / FILE).exists():
        return None
    import torch

    from scaling.bench.measure import machine_key

    peak = peak_flops_per_second(cache, machine_key(), spec.precision)
    if peak is None:
        return None
    return peak * devices * (1 if torch.cuda.is_available() else torch.get_num_threads())


def wandb_mode(mode: str | None = None) -> str:
    """The mode that applies; one that W&B does not know counts as `offline`."""
    wanted = mode or os.environ.get("WANDB_MODE") or "offline"
    if wanted not in MODES:
        known = ", ".join(MODES)
        _log.warning("WANDB_MODE=%r is unknown, taking offline; known: %s", wanted, known)
        return "offline"
    return wanted


def preload() -> None:
    """Imports what the first run of a process needs, for a server that forks its workers.

    It starts no thread and no process. A fork of such a server opens its run in 0.25 s in the
    background, 0.2 of them asleep; without it the import takes 0.9 s of a core that trains.
    """
    try:
        # The last two are what `wandb.init` imports at its first call.
        for module in ("wandb", "wandb.sdk.launch", "yaml"):
            importlib.import_module(module)
    except Exception:
        _log.debug("W&B cannot be imported ahead", exc_info=True)


class RunTracker(WandbLogger):
    """Lightning's W&B logger with exact counters in every row, and the final values at the end.

    As a context manager it closes a run that nobody has finished: as failed, with the exception.
    """

    def __init__(
        self,
        spec: CellSpec,
        *,
        run_id: str,
        root: Path,
        sweep: str,
        labels: Mapping[str, Any],
        project: str,
        mode: str,
        peak_flops_per_second: float | None = None,
    ) -> None:
        super().__init__(project=project, id=run_id, save_dir=root)
        self._counters = dict.fromkeys(COUNTERS, 0)
        self._peak_flops_per_second = peak_flops_per_second
        self._writer = WandbWriter(
            run_arguments(spec, run_id=run_id, sweep=sweep, labels=labels) | {"project": project},
            root=root,
            mode=mode,
        )
        if getattr(rank_zero_only, "rank", 0) == 0:
            self._writer.start()

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The `wandb.Run`, or a stand-in that ignores every call where W&B is broken.

        Lightning touches this before training; only the use of an attribute waits for the start.
        """
        return _RunWhenReady(self._writer)

    @rank_zero_only
    def log_row(
        self, row: Mapping[str, float], *, tokens: int, train_flops: float, step: int
    ) -> None:
        """Writes one row; the counters stand in it and in the rows that Lightning adds later.

        Args:
            tokens: positions processed so far. train_flops: as if trained from scratch.
            step: optimizer steps so far.
        """
        # Python's integers, through no tensor: float32 is exact up to 2**24 only.
        values = (operator.index(tokens), int(train_flops), operator.index(step))
        self._counters = dict(zip(COUNTERS, values, strict=True))
        if self._peak_flops_per_second and TRAIN_FLOPS_PER_SECOND in row:
            share = row[TRAIN_FLOPS_PER_SECOND] / self._peak_flops_per_second
            row = {**row, MFU: share}
        self.log_metrics(row)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        row = {key: _plain(value) for key, value in metrics.items() if value is not None}
        self._writer.put_row(row | self._counters)

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Does nothing: the config is the spec, and it was written at the start."""

    def finalize(self, status: str) -> None:
        """Does nothing: Lightning calls this before the record exists; see `finish`."""

    @rank_zero_only
    def finish(self, record: CellRecord) -> None:
        """Writes the final values of `record` into the summary and ends the W&B run."""
        self._writer.close(final_summary(record), exit_code=int(record.status != "done"))

    @rank_zero_only
    def abort(self, status: str, reason: str) -> None:
        """Ends the W&B run of a cell that has no record, such as an `interrupted` one.

        A later attempt at the cell goes on with the same id.
        """
        self._writer.close(
            {"final/status": status, "final/reason": redact(reason)},
            exit_code=1,
            patience_seconds=ABORT_SECONDS,
        )

    def __enter__(self) -> RunTracker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self.abort("failed", "the run ended without a record")
        else:
            self.abort("failed", f"{kind.__name__}: {error}")


class _RunWhenReady:
    """Passes every attribute on to the W&B run, once that is open."""

    def __init__(self, writer: WandbWriter) -> None:
        self._writer = writer

    def __getattr__(self, name: str) -> Callable[..., Any]:
        run = self._writer.wait_for_run()
        attribute: Callable[..., Any] = getattr(
            DummyLogger().experiment if run is None else run, name
        )
        return attribute


def _plain(value: Any) -> float | int:
    return int(value) if isinstance(value, Integral) else float(value)
