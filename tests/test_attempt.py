"""What stops an attempt: a signal while it is evaluated, and another worker that has its cell."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from scaling import claims, train, watch
from scaling.checkpoint import CHECKPOINT
from scaling.lit import LitRun
from scaling.outcome import Evaluation, evaluate
from scaling.store import Store
from scaling.watch import Progress
from scaling.worker import run_cell
from tests.launches import results
from tests.test_worker import planned


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The training steps that are taken."""
    taken: list[int] = []
    take_step = LitRun.take_step

    def counted(self: LitRun, step: int) -> None:
        taken.append(step)
        take_step(self, step)

    monkeypatch.setattr(LitRun, "take_step", counted)
    return taken


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_during_evaluation_costs_no_step_of_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: list[int], number: signal.Signals
) -> None:
    monkeypatch.setattr(watch, "LAST_CHECKPOINT_SECONDS", 0.0)
    told: list[int] = []

    def evaluate_when_told(lit: LitRun) -> Evaluation:
        if not told:
            told.append(lit.steps_done)
            os.kill(os.getpid(), number)
        return evaluate(lit)

    monkeypatch.setattr(train, "evaluate", evaluate_when_told)
    store, (job,) = planned(tmp_path, train_tokens=2560)
    total = store.spec(job.run_id).total_steps
    assert run_cell(store.root, job) == "interrupted"
    assert told == [total]
    assert len(steps) == total
    assert run_cell(store.root, job) == "done"
    assert len(steps) == total
    assert not (store.folder(job.run_id) / CHECKPOINT).exists()

    (tmp_path / "alone").mkdir()
    alone, (same,) = planned(tmp_path / "alone", train_tokens=2560)
    assert run_cell(alone.root, same) == "done"
    assert results(store.root) == results(alone.root)


def test_who_lost_the_cell_stops_at_the_next_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: list[int]
) -> None:
    monkeypatch.setattr(claims, "HEARTBEAT_SECONDS", 0.02)
    monkeypatch.setattr(watch, "PROGRESS_SECONDS", 0.0)
    store, (job,) = planned(tmp_path, train_tokens=25_600)
    path = store.folder(job.run_id) / "claim.json"

    def taken_over(progress: Progress) -> None:
        if progress.tokens == 2560:
            path.write_text(json.dumps(json.loads(path.read_text()) | {"owner": "another"}))
            threading.Event().wait(1)  # some heartbeats

    assert run_cell(store.root, job, on_progress=taken_over) == "busy"
    # One more step was under way.
    assert len(steps) <= 2560 // store.spec(job.run_id).batch_tokens + 1
    assert not (store.folder(job.run_id) / CHECKPOINT).exists()
    (name,) = store.refused()
    assert "was taken over" in (store.root / "refused" / name).read_text()


def test_a_heartbeat_after_the_result_takes_its_own_end_for_no_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "HEARTBEAT_SECONDS", 0.02)
    store, (job,) = planned(tmp_path, train_tokens=2560)
    publish = Store.publish

    def and_then_tell_others(*arguments: Any) -> bool:
        published = publish(*arguments)
        threading.Event().wait(1)  # W&B, which may take its time
        return published

    monkeypatch.setattr(Store, "publish", and_then_tell_others)
    assert run_cell(store.root, job) == "done"
    assert store.refused() == []


def test_who_lost_the_cell_while_it_is_evaluated_publishes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "HEARTBEAT_SECONDS", 0.02)
    store, (job, _) = planned(tmp_path)
    path = store.folder(job.run_id) / "claim.json"

    def taken_over(lit: LitRun) -> Evaluation:
        path.write_text(json.dumps(json.loads(path.read_text()) | {"owner": "another"}))
        threading.Event().wait(30)
        raise AssertionError("it was not stopped")

    monkeypatch.setattr(train, "evaluate", taken_over)
    assert run_cell(store.root, job) == "busy"
    assert store.record(job.run_id) is None
    assert len(store.refused()) == 1
    assert json.loads(path.read_text())["owner"] == "another"
