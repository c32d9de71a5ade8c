"""What happens between the steps of a run: checkpoints on a clock, forks, signals, progress."""

from __future__ import annotations

import dataclasses
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from scaling.checkpoint import CHECKPOINT, FORK, Session, save_checkpoint
from scaling.lit import LitRun
from scaling.outcome import Spent

CHECKPOINT_SECONDS = 60.0
PROGRESS_SECONDS = 0.5
_AGREEMENT_STEPS = 10
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


class Interrupted(Exception):
    """The run was told to stop; its checkpoint is written and it can go on later."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far a run is; losses are training means in nats per target."""

    tokens: int
    train_tokens: int
    tokens_per_second: float
    losses: dict[str, float]


class Watch:
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
        self._tokens_per_second = 0.0

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

    def speed(self) -> float:
        """Tokens per second between the last two reports; 0 before there were two."""
        return self._tokens_per_second

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
                # A second word must not cut short what the first one began.
                signal.signal(number, signal.SIG_IGN if self._interrupted else handler)

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
            self._tokens_per_second = steps * spec.batch_tokens / (now - self._last_progress)
        self._last_step, self._last_progress = step, now
        if self._on_progress is not None:
            self._on_progress(
                Progress(
                    tokens=step * spec.batch_tokens,
                    train_tokens=spec.train_tokens,
                    tokens_per_second=self._tokens_per_second,
                    losses=self._lit.train_nats(),
                )
            )
