"""One cell in one process: claim, train or measure, publish. Every engine starts this alone.

Whatever goes wrong in a cell becomes its record, so that a sweep goes on without it; only what no
other cell would survive either, such as a full disk, is raised.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from pytorch_lightning.utilities.exceptions import SIGTERMException
from safetensors import SafetensorError

from scaling import claims, peak_memory
from scaling.attempt import Alarm, Stop, alarm_after, stoppable
from scaling.cell_files import CHECKPOINT, FORK
from scaling.cell_read import CellRecord, CellSpec
from scaling.checkpoint import furthest_fork
from scaling.claims import Claim, ClaimLost
from scaling.compiling import is_compiled
from scaling.errors import BLOCKING_ERRNOS, is_out_of_memory
from scaling.evaluate.cell import ended_evaluation, evaluate_cell
from scaling.evaluation_cell import EvaluationSpec
from scaling.files import write_atomic
from scaling.heart import CancelWatch, heart
from scaling.jobs import Job, Outcome
from scaling.live import LiveWriter
from scaling.outcome import ended_record
from scaling.ranks import RankDied
from scaling.record import RunRecord, Status
from scaling.redact import redact
from scaling.run_log import RunLogger
from scaling.spec import RunSpec
from scaling.split import read_micro_batch
from scaling.store import Store
from scaling.text import Text
from scaling.text_of_run import text_of
from scaling.tracking import make_logger
from scaling.train import run
from scaling.watch import Interrupted, Progress

# A death that the launcher saw may be the cell's own doing; a machine that vanished is not.
MAX_DEATHS = 3
MAX_LOSSES = 100
_LITTLE_SPACE_BYTES = 1 << 20
_FULL_DISK = ("no space left", "disk quota exceeded")

OnProgress = Callable[[Progress], None]
Train = Callable[..., RunRecord]


def run_cell(
    root: Path, job: Job, *, on_progress: OnProgress | None = None, train: Train | None = None
) -> Outcome:
    """Trains or measures one cell of the store and publishes its record.

    Args:
        train: instead of `scaling.train.run`.
    Returns:
        The status of the record; `interrupted` when a signal or a cancellation stopped it and the
        cell is free again, or one of its processes was lost; `busy` when it has ended, is cancelled
        or another worker has it.
    Raises:
        OSError: no cell could be trained here: the disk is full, or may not be written.
    """
    store = Store(root)
    try:
        with stoppable() as stop:
            claim = store.claim(job.run_id)
            if claim is None:
                return "busy"
            try:
                return _alive(store, claim, job, on_progress, stop, train or run)
            except ClaimLost as error:
                store.refuse(claim, str(error))
                return "busy"
            except RankDied as error:
                claims.record_death(claim.folder, os.getpid(), str(error))
                return "interrupted"
            except BaseException:
                # With a result the claim has ended already, and looking for it takes time.
                claim.end("released")
                raise
    except Interrupted:
        return "interrupted"


def _alive(
    store: Store,
    claim: Claim,
    job: Job,
    on_progress: OnProgress | None,
    stop: Stop,
    train: Train,
) -> Outcome:
    """Trains and publishes, with a heartbeat that says how far it is and sees a cancellation."""
    live, taken_over = LiveWriter(claim), Alarm()

    def report(progress: Progress) -> None:
        stop.again()
        live.take(progress)
        if on_progress is not None:
            on_progress(progress)

    try:
        look = CancelWatch(claim.folder).look
        with heart(claim, live.write, look, on_lost=taken_over.ring):
            outcome = _tracked(store, claim, job, report, stop, train)
    except Interrupted:
        if taken_over.rang:
            claim.check()  # which says so
        live.write()  # where its checkpoint is
        raise
    live.remove()
    return outcome


def _tracked(
    store: Store, claim: Claim, job: Job, on_progress: OnProgress, stop: Stop, train: Train
) -> Outcome:
    """Trains and publishes, with a W&B run that ends as the cell ends."""
    spec = store.spec(claim.folder.name)
    tracker = make_logger(
        spec,
        run_id=spec.run_id,
        root=store.root,
        sweep=job.sweep,
        labels=job.labels,
        project=job.project,
        mode=job.wandb_mode,
        devices=job.devices,
    )
    with tracker or contextlib.nullcontext():
        try:
            record = _attempt(spec, store, claim, job, tracker, on_progress, train)
            if record.status == "failed":
                stop.check()  # a library may have made its own error of the interruption
        except (Interrupted, ClaimLost, RankDied) as error:
            if tracker is not None:
                tracker.abort("interrupted", str(error))
            raise
        published = store.publish(claim, record)
        if published and record.status == "done":
            (claim.folder / CHECKPOINT).unlink(missing_ok=True)
        if tracker is not None:
            tracker.finish(record)
        return record.status if published else "busy"


def _attempt(
    spec: CellSpec,
    store: Store,
    claim: Claim,
    job: Job,
    logger: RunLogger | None,
    on_progress: OnProgress,
    train: Train,
) -> CellRecord:
    """The record of the cell, or of how it failed."""

    split = job.split

    def ended(status: Status, reason: str, error: BaseException | None = None) -> CellRecord:
        if isinstance(spec, EvaluationSpec):
            return ended_evaluation(spec, status, reason, attempts=claim.token)
        spent = getattr(error, "spent", None)
        return ended_record(spec, status, reason, spent=spent, split=split, attempts=claim.token)

    died, lost = _deaths_without_progress(claim.folder), claims.losses(claim.folder)
    if len(died) >= MAX_DEATHS:
        return ended("failed", f"{len(died)} attempts died, the last one: {died[-1]}")
    if len(lost) >= MAX_LOSSES:
        return ended("failed", f"{len(lost)} attempts were lost, the last one: {lost[-1]}")
    with alarm_after(job.timeout_seconds) as alarm:
        try:
            if isinstance(spec, EvaluationSpec):
                return evaluate_cell(spec, store, on_progress=on_progress, attempts=claim.token)
            split = split.within(read_micro_batch(claim.folder), spec)
            text = read_text(spec, store)
            compiled = is_compiled(job.compile, devices=split.devices)
            peak_memory.begin()
            return train(
                spec,
                text=text,
                folder=claim.folder,
                fork=_fork(store, job.shorter, spec),
                logger=logger,
                on_progress=on_progress,
                check_fence=claim.check,
                attempts=claim.token,
                split=split,
                compiled=compiled,
            )
        except (Interrupted, SIGTERMException, KeyboardInterrupt) as error:
            if alarm.rang:
                return ended("timeout", _over_time(job), error)
            raise Interrupted(str(error)) from error
        except (ClaimLost, RankDied):
            raise
        except Exception as error:
            if _is_blocking(error, claim.folder):
                raise
            claim.check()
            write_atomic(claim.folder / "traceback.txt", redact(traceback.format_exc()))
            status: Status = "out_of_memory" if is_out_of_memory(error) else "failed"
            line = redact(f"{type(error).__name__}: {' '.join(str(error).split())}")[:500]
            return ended(status, line, error)


def _over_time(job: Job) -> str:
    again = "`scaling retry SWEEP --only timeout`"
    what = f"{again} starts it anew" if job.of else f"its checkpoint is kept: {again} goes on there"
    return f"the attempt ran over its {job.timeout_seconds:g} seconds; {what}"


def _deaths_without_progress(folder: Path) -> list[str]:
    """Why the attempts died that started from the step where the next one will start.

    A cell that gets from checkpoint to checkpoint between its deaths ends some day; one that
    dies again and again before the next checkpoint does not.
    """
    try:
        checkpoint_seconds = (folder / CHECKPOINT).stat().st_mtime
    except FileNotFoundError:
        return claims.deaths(folder)
    return claims.deaths(folder, since_seconds=checkpoint_seconds)


def read_text(spec: RunSpec, store: Store) -> Text:
    """The text of a run, from the store's cache where it is there."""
    return text_of(spec, store.cache)


def _fork(store: Store, shorter: Sequence[str], spec: RunSpec) -> Path | None:
    return furthest_fork((store.folder(run_id) / FORK for run_id in shorter), spec)


def _is_blocking(error: Exception, folder: Path) -> bool:
    """Whether the next cell would fail in the same way, through no fault of its own."""
    if isinstance(error, OSError):
        return error.errno in BLOCKING_ERRNOS
    # torch and safetensors turn a full disk into errors of their own.
    if isinstance(error, RuntimeError | SafetensorError) and not is_out_of_memory(error):
        is_full = any(word in str(error).lower() for word in _FULL_DISK)
        if is_full or shutil.disk_usage(folder).free < _LITTLE_SPACE_BYTES:
            full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
            raise full from error
    return False
