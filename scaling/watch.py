"""What happens between the steps of a run: checkpoints on a clock, forks, signals, progress."""

from __future__ import annotations

import dataclasses
import inspect
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import torch
import torch.distributed as dist

from scaling.checkpoint import CHECKPOINT, FORK, Session, save_checkpoint
from scaling.lit import LitRun
from scaling.outcome import Spent

CHECKPOINT_SECONDS = 60.0
# Evaluation follows the last step, and may be stopped too: so much training is worth a checkpoint.
LAST_CHECKPOINT_SECONDS = 5.0
PROGRESS_SECONDS = 0.5
# How far apart devices ask rank 0 whether to go on; a signal waits that long.
MEETING_SECONDS = 1.0
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


class Interrupted(Exception):
    """The run was told to stop; its checkpoint is written and it can go on later."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far a cell is; losses are training means in nats per target.

    Attributes:
        tokens, train_tokens: done and in all; of an evaluation, counted in `unit`.
    """

    tokens: int
    train_tokens: int
    tokens_per_second: float
    losses: dict[str, float]
    unit: str = "tokens"


@dataclass(frozen=True, kw_only=True, slots=True)
class Orders:
    """What is done after a step, on all devices of a run alike."""

    stop: bool
    save: bool
    report: bool


class Watch:
    """Looks at a clock and at signals after each step: checkpoints, forks, progress.

    Where several devices train a run, what it wants on rank 0 is done on all of them: each of
    these takes all devices at the same step, and their clocks and signals differ.
    """

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
        self._next_meeting: int | None = None
        self._met_step: int | None = None
        self._met_seconds = 0.0
        self._tokens_per_second = 0.0

    def after_step(self, step: int) -> None:
        spec = self._lit.spec
        if step == spec.fork_step:
            self._save(FORK)
        if step < spec.total_steps:
            self._look(step)

    def after_training(self) -> None:
        """After the last step and its reading, which the checkpoint then holds."""
        self._look(self._lit.spec.total_steps)

    def _look(self, step: int) -> None:
        spec, now = self._lit.spec, time.monotonic()
        orders = self._orders(step, now)
        if orders.stop:
            self._save(CHECKPOINT)
            raise Interrupted(f"stopped by a signal after {step} of {spec.total_steps} steps")
        if orders.save:
            self._save(CHECKPOINT)
            self._last_checkpoint = time.monotonic()
        if orders.report:
            self._report(step, now)

    def _orders(self, step: int, now: float) -> Orders:
        is_last = step == self._lit.spec.total_steps
        patience = LAST_CHECKPOINT_SECONDS if is_last else CHECKPOINT_SECONDS
        wanted = Orders(
            stop=self._interrupted,
            save=now - self._last_checkpoint > patience,
            report=now - self._last_progress > PROGRESS_SECONDS,
        )
        return wanted if not dist.is_initialized() else self._agreed(wanted, step, now)

    def _agreed(self, wanted: Orders, step: int, now: float) -> Orders:
        """What rank 0 wants, at steps that it sets about a second apart."""
        total = self._lit.spec.total_steps
        if self._next_meeting is not None and step < min(self._next_meeting, total):
            return Orders(stop=False, save=False, report=False)
        steps_per_second = 0.0
        if self._met_step is not None and now > self._met_seconds:
            steps_per_second = (step - self._met_step) / (now - self._met_seconds)
        self._met_step, self._met_seconds = step, now
        pause = max(1, round(steps_per_second * MEETING_SECONDS))
        said = torch.tensor(
            [wanted.stop, wanted.save, wanted.report, step + pause], device=self._lit.device
        )
        dist.broadcast(said, src=0)
        stop, save, report, self._next_meeting = said.tolist()
        return Orders(stop=bool(stop), save=bool(save), report=bool(report))

    def speed(self) -> float:
        """Tokens per second between the last two reports; 0 before there were two."""
        return self._tokens_per_second

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
        """Until the block ends the clock runs, and SIGTERM and SIGUSR1 stop the run at a step."""
        self.started = self._last_checkpoint = self._last_progress = time.monotonic()
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in _STOP_SIGNALS}
        for number in _STOP_SIGNALS:
            signal.signal(number, self._interrupt)
        try:
            yield
        finally:
            for number, handler in before.items():
                # A second word must not cut short what the first one began; whoever has a
                # handler around this block hears again once that is done.
                deaf = self._interrupted and inspect.isfunction(handler)
                signal.signal(number, signal.SIG_IGN if deaf else handler)

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
            self._tokens_per_second = steps * spec.batch_tokens / (now - self._last_progress)
        self._last_step, self._last_progress = step, now
        losses = self._lit.train_nats()
        if self._on_progress is not None:
            self._on_progress(
                Progress(
                    tokens=step * spec.batch_tokens,
                    train_tokens=spec.train_tokens,
                    tokens_per_second=self._tokens_per_second,
                    losses=losses,
                )
            )
