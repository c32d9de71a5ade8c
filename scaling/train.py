"""Trains one run: `run(spec, ...) -> RunRecord`.

The data, the masks and the schedule are functions of (seed, step), and there is no dropout, so a
run that is interrupted and resumed, or that starts from another run's trunk, ends with the same
weights as one that was left alone.
"""

from __future__ import annotations

import dataclasses
import logging
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Protocol

import pytorch_lightning as pl
import torch
from safetensors.torch import save_file

from scaling.accounting import train_flops_per_token
from scaling.checkpoint import CHECKPOINT, FORK, Session, best_start, save_checkpoint
from scaling.files import written_atomically
from scaling.lit import Diverged, LitRun
from scaling.models import build_model
from scaling.objectives import OBJECTIVES
from scaling.outcome import Spent, done_record, ended_record
from scaling.record import RunRecord
from scaling.spec import RunSpec
from scaling.text import Text

CHECKPOINT_SECONDS = 60.0
PROGRESS_SECONDS = 0.5
_AGREEMENT_STEPS = 10
# Readings along the curve use this share of the validation set.
_READING_SHARE = 8

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1)
_LIGHTNING_PRECISION = {"float32": "32-true", "bf16": "bf16-mixed"}


class Interrupted(Exception):
    """The run was told to stop; its checkpoint is written and it can go on later."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far a run is; losses are training means in nats per target."""

    tokens: int
    train_tokens: int
    tokens_per_second: float
    losses: dict[str, float]


class RunLogger(Protocol):
    """Where rows go while a run trains, such as W&B."""

    def log_row(
        self, row: dict[str, float], *, tokens: int, train_flops: float, step: int
    ) -> None: ...


def run(
    spec: RunSpec,
    *,
    text: Text,
    folder: Path,
    fork: Path | None = None,
    logger: RunLogger | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    check_fence: Callable[[], None] = lambda: None,
    attempts: int = 1,
    devices: int | str = "auto",
) -> RunRecord:
    """Trains `spec` to its horizon, evaluates it and returns the record, unpublished.

    Args:
        text: the tokenised corpus; its fingerprints must be the spec's.
        folder: where checkpoints and `weights.safetensors` are written. A `checkpoint.pt`
            that lies there is resumed; it is left for the caller to remove once the record
            is safe.
        fork: trunk checkpoint of a shorter run of the same trunk, to start from.
        check_fence: called before each write; raises if the run was given to someone else.
        attempts: how often this run was started, for the record.
    Raises:
        Interrupted: SIGTERM or SIGUSR1 arrived; a checkpoint was written.
        ValueError: the text is not the one that the spec names.
    """
    _check_text(spec, text)
    folder.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    torch.manual_seed(spec.seed)
    model = build_model(spec)
    objective = OBJECTIVES[spec.objective]
    n_sequences = max(1, spec.eval_tokens // spec.seq_len)
    lit = LitRun(
        model,
        objective,
        spec,
        text,
        readings=objective.validation_batches(text, spec, max(1, n_sequences // _READING_SHARE)),
        train_flops_per_token=train_flops_per_token(spec),
    )
    start, session = best_start(folder, fork, spec)
    watch = _Watch(lit, folder, session, check_fence, on_progress)
    lit.before_steps, lit.after_step = watch.listen, watch.after_step
    if logger is not None:
        lit.on_reading = _row_writer(logger, spec, lit, watch)
    try:
        with watch.signals(), _quiet_lightning():
            _trainer(spec, devices).fit(lit, ckpt_path=start, weights_only=True)
        check_fence()
        record = done_record(
            lit,
            session=watch.session_now(),
            seconds_before_training=watch.started - started,
            attempts=attempts,
        )
    except Diverged as error:
        return ended_record(spec, "diverged", str(error), spent=watch.spent(), attempts=attempts)
    except Exception as error:
        # For the record of an attempt that timed out or failed.
        error.spent = watch.spent()  # type: ignore[attr-defined]
        raise
    check_fence()
    _write_weights(model, folder / "weights.safetensors")
    return record


class _Watch:
    """Looks at a clock and at signals after each step: checkpoints, forks, progress."""

    def __init__(
        self,
        lit: LitRun,
        folder: Path,
        session: Session,
        check_fence: Callable[[], None],
        on_progress: Callable[[Progress], None] | None,
    ) -> None:
        self._lit, self._folder, self._session = lit, folder, session
        self._check_fence, self._on_progress = check_fence, on_progress
        self._interrupted = False
        self.started = self._last_checkpoint = self._last_progress = time.monotonic()
        self._last_step: int | None = None
        self.tokens_per_second = 0.0

    def after_step(self, step: int) -> None:
        spec = self._lit.spec
        now = time.monotonic()
        if step == spec.fork_step:
            self._save(FORK)
        if self._agreed(self._interrupted, step):
            self._save(CHECKPOINT)
            raise Interrupted(f"stopped by a signal after {step} of {spec.total_steps} steps")
        is_due = now - self._last_checkpoint > CHECKPOINT_SECONDS
        if self._agreed(is_due, step) and step < spec.total_steps:
            self._save(CHECKPOINT)
            self._last_checkpoint = time.monotonic()
        if now - self._last_progress > PROGRESS_SECONDS:
            self._report(step, now)

    def _agreed(self, wanted: bool, step: int) -> bool:
        """Writing takes all devices at the same step: they ask each other every few steps."""
        trainer = self._lit.trainer
        if trainer.world_size == 1:
            return wanted
        if step % _AGREEMENT_STEPS:
            return False
        return bool(trainer.strategy.reduce_boolean_decision(wanted, all=False))

    def spent(self) -> Spent:
        lit = self._lit
        return Spent(
            session=self.session_now(),
            curve=tuple(lit.curve),
            tokens_seen=lit.steps_done * lit.spec.batch_tokens,
            tokens_predicted=lit.tokens_predicted,
            device=lit.device,
        )

    def session_now(self) -> Session:
        spent = time.monotonic() - self.started
        return dataclasses.replace(self._session, seconds=self._session.seconds + spent)

    @contextmanager
    def signals(self) -> Iterator[None]:
        """SIGTERM and SIGUSR1 stop the run at the end of the step."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in _STOP_SIGNALS}
        self.listen()
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @property
    def is_branch(self) -> bool:
        return self._session.forked_from is not None

    def listen(self) -> None:
        """Takes the signals; again before the first step, since Lightning takes SIGTERM too."""
        if threading.current_thread() is threading.main_thread():
            for number in _STOP_SIGNALS:
                signal.signal(number, self._interrupt)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self._interrupted = True

    def _save(self, name: str) -> None:
        self._check_fence()
        self._lit.session = self.session_now()
        save_checkpoint(self._lit.trainer, self._folder / name)

    def _report(self, step: int, now: float) -> None:
        spec = self._lit.spec
        if self._last_step is not None:
            steps = step - self._last_step
            self.tokens_per_second = steps * spec.batch_tokens / (now - self._last_progress)
        self._last_step, self._last_progress = step, now
        if self._on_progress is not None:
            self._on_progress(
                Progress(
                    tokens=step * spec.batch_tokens,
                    train_tokens=spec.train_tokens,
                    tokens_per_second=self.tokens_per_second,
                    losses=self._lit.train_nats(),
                )
            )


def _row_writer(
    logger: RunLogger, spec: RunSpec, lit: LitRun, watch: _Watch
) -> Callable[[int, dict[str, float]], None]:
    """Sends readings to the logger; before the first one of a branch, those of its trunk."""
    trunk_is_missing = watch.is_branch

    def send(step: int, row: dict[str, float]) -> None:
        tokens = step * spec.batch_tokens
        train_flops = tokens * lit.train_flops_per_token
        logger.log_row(row, tokens=tokens, train_flops=train_flops, step=step)

    def write(step: int, row: dict[str, float]) -> None:
        nonlocal trunk_is_missing
        if trunk_is_missing:
            trunk_is_missing = False
            for tokens, readings in _trunk_rows(lit):
                send(tokens // spec.batch_tokens, readings)
        send(step, row | {"throughput/tokens_per_second": watch.tokens_per_second})

    return write


def _trunk_rows(lit: LitRun) -> list[tuple[int, dict[str, float]]]:
    """The readings that a branch took over, one row for each number of tokens."""
    rows: dict[int, dict[str, float]] = {}
    for point in lit.curve[: lit.readings_taken_over]:
        row = rows.setdefault(point.tokens, {"train/learning_rate": point.learning_rate})
        row[f"{point.split}/{point.term}_nats"] = point.nats_per_target
    return sorted(rows.items())


def _check_text(spec: RunSpec, text: Text) -> None:
    for name, of_spec, of_text in (
        ("corpus", spec.corpus_fingerprint, text.corpus_fingerprint),
        ("tokenizer", spec.tokenizer_fingerprint, text.tokenizer.fingerprint),
    ):
        if of_spec != of_text:
            raise ValueError(
                f"the {name} of {spec.corpus!r} has fingerprint {of_text}, the spec names "
                f"{of_spec}: the text has changed since the sweep was planned; plan it again"
            )


def _trainer(spec: RunSpec, devices: int | str) -> pl.Trainer:
    return pl.Trainer(
        accelerator="auto",
        devices=devices,
        precision=_LIGHTNING_PRECISION[spec.precision],  # type: ignore[arg-type]
        max_steps=spec.total_steps,
        max_epochs=-1,
        gradient_clip_val=spec.gradient_clip,
        use_distributed_sampler=False,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Lightning's notes speak to people who write loops; the launcher speaks to our users."""
    logger = logging.getLogger("pytorch_lightning")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            # It advises to use more of the machine, which the launcher shares among runs.
            warnings.filterwarnings("ignore", ".*available but not used.*")
            warnings.filterwarnings("ignore", ".*does not have many workers.*")
            # It tests for a class that this version of torch is about to replace.
            warnings.filterwarnings("ignore", ".*LeafSpec.*", FutureWarning)
            yield
    finally:
        logger.setLevel(level)


def _write_weights(model: torch.nn.Module, path: Path) -> None:
    # A tied head shares its tensor with the embedding; the file holds it once.
    tensors, seen = {}, set()
    for name, tensor in model.state_dict().items():
        if tensor.data_ptr() not in seen:
            seen.add(tensor.data_ptr())
            tensors[name] = tensor.detach().cpu().contiguous()
    with written_atomically(path) as partial:
        save_file(tensors, partial)
