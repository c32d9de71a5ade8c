"""One cell in one process: whatever happens to it, the store tells."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from scaling import claims, watch, worker
from scaling.attempt import stoppable
from scaling.checkpoint import CHECKPOINT, furthest_fork
from scaling.errors import describe_os_error
from scaling.jobs import Job, make_jobs
from scaling.store import Store
from scaling.sweep import expand
from scaling.watch import Interrupted, Progress
from scaling.worker import run_cell
from tests.tiny_sweep import loader, write_tiny_sweep


def planned(folder: Path, **changes: Any) -> tuple[Store, list[Job]]:
    """A store with the cells of a tiny sweep, and their jobs."""
    store = Store(folder / "runs")
    sweep = expand(write_tiny_sweep(folder, **changes), loader(folder / "runs"))
    for cell in sweep.cells:
        store.add(cell.spec)
    return store, make_jobs(sweep.cells, wandb_mode="disabled")


def test_a_branch_takes_over_its_trunk_and_changes_no_result(tmp_path: Path) -> None:
    store, (short, long) = planned(tmp_path)
    assert run_cell(store.root, short) == "done"
    assert run_cell(store.root, long) == "done"
    branch = store.record(long.run_id)
    assert branch is not None
    assert branch.provenance.forked_from == short.run_id
    assert branch.provenance.spent_flops == long.own_flops
    assert run_cell(store.root, long) == "busy"

    (tmp_path / "alone").mkdir()
    alone, jobs = planned(tmp_path / "alone")
    assert jobs[1].run_id == long.run_id
    assert run_cell(alone.root, jobs[1]) == "done"
    from_scratch = alone.record(long.run_id)
    assert from_scratch is not None
    assert from_scratch.provenance.forked_from is None
    assert from_scratch.result() == branch.result() | {"spec": from_scratch.result()["spec"]}


def test_an_attempt_that_lost_its_cell_is_listed(tmp_path: Path) -> None:
    store, (job, _) = planned(tmp_path)
    claim = store.folder(job.run_id) / "claim.json"

    def is_taken_over(progress: Progress) -> None:
        if claim.exists():
            claim.write_text(json.dumps(json.loads(claim.read_text()) | {"owner": "another"}))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(watch, "PROGRESS_SECONDS", 0)
        assert run_cell(store.root, job, on_progress=is_taken_over) == "busy"
    assert store.record(job.run_id) is None
    (name,) = store.refused()
    assert name.startswith(f"{job.run_id}.000001.")
    note = json.loads((store.root / "refused" / name).read_text())
    assert "claim 1 was taken over" in note["reason"]


def test_a_second_signal_does_not_cut_short_what_the_first_began() -> None:
    reached = []

    def told_twice() -> None:
        try:
            os.kill(os.getpid(), signal.SIGUSR1)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            reached.append("the end of the cleaning up")

    with pytest.raises(Interrupted, match="SIGUSR1"), stoppable():
        told_twice()
    assert reached


def test_a_text_that_changed_since_the_plan_fails_the_cell(tmp_path: Path) -> None:
    store, (job, _) = planned(tmp_path)
    with (tmp_path / "text.jsonl").open("a") as file:
        file.write(json.dumps({"text": "one more document"}) + "\n")
    assert run_cell(store.root, job) == "failed"
    record = store.record(job.run_id)
    assert record is not None
    assert record.reason is not None
    assert "the text has changed since the sweep was planned" in record.reason
    assert record.losses == {}
    assert "Traceback" in (store.folder(job.run_id) / "traceback.txt").read_text()


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 byte"),
    ],
)
def test_no_memory_is_a_state_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def run(*arguments: Any, **options: Any) -> None:
        raise error

    monkeypatch.setattr(worker, "run", run)
    store, (job, _) = planned(tmp_path)
    assert run_cell(store.root, job) == "out_of_memory"
    assert store.state(job.run_id) == "out_of_memory"


def test_a_full_disk_ends_no_cell_but_the_launch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*arguments: Any, **options: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/store/checkpoint.pt")

    monkeypatch.setattr(worker, "run", run)
    store, (job, _) = planned(tmp_path)
    with pytest.raises(OSError, match="No space left") as raised:
        run_cell(store.root, job)
    assert "/store/checkpoint.pt: no space left" in describe_os_error(raised.value)
    assert store.state(job.run_id) == "pending"
    assert store.claim(job.run_id) is not None


def test_a_signal_leaves_the_cell_pending(tmp_path: Path) -> None:
    store, (job,) = planned(tmp_path, train_tokens=2_560_000)
    reported = []

    def on_progress(progress: Progress) -> None:
        reported.append(progress.tokens)
        os.kill(os.getpid(), signal.SIGTERM)

    assert run_cell(store.root, job, on_progress=on_progress) == "interrupted"
    assert reported
    assert store.state(job.run_id) == "pending"
    assert claims.deaths(store.folder(job.run_id)) == []
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_signal_before_the_first_step_is_no_death(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def text_of(*arguments: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(worker, "text_of", text_of)
    store, (job, _) = planned(tmp_path)
    assert run_cell(store.root, job) == "interrupted"
    assert store.state(job.run_id) == "pending"
    assert claims.deaths(store.folder(job.run_id)) == []


def test_a_cell_over_its_time_is_told_apart_and_goes_on_after_a_retry(tmp_path: Path) -> None:
    store, (job,) = planned(tmp_path, train_tokens=2_560_000)
    limited = Job(run_id=job.run_id, timeout_seconds=1.0, wandb_mode="disabled")
    assert run_cell(store.root, limited) == "timeout"
    record = store.record(job.run_id)
    assert record is not None
    assert record.reason is not None
    assert record.reason.startswith("the attempt ran over its 1 seconds; its checkpoint is kept")
    assert store.retry(job.run_id) == "timeout"
    assert (store.folder(job.run_id) / "checkpoint.pt").exists()


def test_after_three_deaths_the_cell_has_failed(tmp_path: Path) -> None:
    store, (job, _) = planned(tmp_path)
    for _ in range(worker.MAX_DEATHS):
        claims.record_death(store.folder(job.run_id), pid=1, reason="killed by SIGKILL")
    assert run_cell(store.root, job) == "failed"
    record = store.record(job.run_id)
    assert record is not None
    assert record.reason == "3 attempts died, the last one: killed by SIGKILL"


def test_deaths_before_the_last_checkpoint_do_not_count(tmp_path: Path) -> None:
    store, (job, _) = planned(tmp_path)
    folder = store.folder(job.run_id)
    for _ in range(worker.MAX_DEATHS):
        claims.record_death(folder, pid=1, reason="killed by SIGKILL")
    # It got as far as writing one since then: unreadable here, so it starts over all the same.
    (folder / CHECKPOINT).write_bytes(b"")
    assert run_cell(store.root, job) == "done"


def test_a_machine_that_vanishes_is_borne_much_longer_than_a_death(tmp_path: Path) -> None:
    store, (job, _) = planned(tmp_path)
    history = store.folder(job.run_id) / "claims"
    history.mkdir()

    def lose(number: int) -> None:
        (history / f"{number:06d}.lost.json").write_text('{"reason": "its machine fell silent"}')

    for number in range(1, worker.MAX_LOSSES):
        lose(number)
    assert worker.MAX_LOSSES > 10 * worker.MAX_DEATHS
    assert run_cell(store.root, job) == "done"
    (tmp_path / "other").mkdir()
    other, (job, _) = planned(tmp_path / "other", seed=1)
    history = other.folder(job.run_id) / "claims"
    history.mkdir()
    for number in range(1, worker.MAX_LOSSES + 1):
        lose(number)
    assert run_cell(other.root, job) == "failed"
    assert (
        other.reason(job.run_id) == "100 attempts were lost, the last one: its machine fell silent"
    )


def test_the_furthest_trunk_that_can_be_read_is_taken_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store, jobs = planned(tmp_path, train_tokens=[2560, 5120, 7680])
    for job in jobs[:2]:
        assert run_cell(store.root, job) == "done"
    first, nearest = (store.folder(job.run_id) / "fork.pt" for job in jobs[:2])
    spec = store.spec(jobs[2].run_id)
    assert furthest_fork([first, nearest], spec) == furthest_fork([nearest, first], spec) == nearest
    nearest.write_bytes(nearest.read_bytes()[:-500])
    # Whatever the order in which a launcher names them.
    last = dataclasses.replace(jobs[2], shorter=jobs[2].shorter[::-1])
    assert last.shorter == (jobs[0].run_id, jobs[1].run_id)
    assert run_cell(store.root, last) == "done"
    record = store.record(last.run_id)
    assert record is not None
    assert record.provenance.forked_from == jobs[0].run_id
    assert f"{nearest} is passed over, it cannot be read: it is torn" in caplog.text


def test_a_torn_checkpoint_is_passed_over_with_a_line_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store, (job, _) = planned(tmp_path)
    checkpoint = store.folder(job.run_id) / CHECKPOINT
    checkpoint.write_bytes(b"PK\3\4 and no more")
    assert run_cell(store.root, job) == "done"
    assert f"{checkpoint} is passed over, it cannot be read: it is torn" in caplog.text


def test_a_failed_cell_goes_on_from_its_checkpoint_after_a_retry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, (job,) = planned(tmp_path, train_tokens=10_240)
    monkeypatch.setattr(watch, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(watch, "PROGRESS_SECONDS", 0.0)

    def break_it(progress: Progress) -> None:
        if progress.tokens >= 5120:
            raise RuntimeError("a wire came off")

    assert run_cell(store.root, job, on_progress=break_it) == "failed"
    assert store.retry(job.run_id) == "failed"
    seen: list[int] = []
    assert run_cell(store.root, job, on_progress=lambda p: seen.append(p.tokens)) == "done"
    assert min(seen) > 5120
    record = store.record(job.run_id)
    assert record is not None
    (tmp_path / "quiet").mkdir()
    quiet, (same,) = planned(tmp_path / "quiet", train_tokens=10_240)
    assert run_cell(quiet.root, same) == "done"
    undisturbed = quiet.record(same.run_id)
    assert undisturbed is not None
    assert record.result() == undisturbed.result() | {"spec": record.result()["spec"]}


def test_the_heart_beats_while_the_cell_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "HEARTBEAT_SECONDS", 0.01)
    store, (job, _) = planned(tmp_path)
    beats = threading.Event()
    monkeypatch.setattr(claims.Claim, "beat", lambda claim: beats.set())

    def run(*arguments: Any, **options: Any) -> None:
        assert beats.wait(10)
        raise ValueError("enough")

    monkeypatch.setattr(worker, "run", run)
    assert run_cell(store.root, job) == "failed"


def test_a_checkpoint_stays_until_the_record_is_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "CHECKPOINT_SECONDS", 0.0)
    store, (job, _) = planned(tmp_path)
    checkpoint = store.folder(job.run_id) / CHECKPOINT

    def full(self: Store, *args: object) -> bool:
        raise OSError(errno.ENOSPC, "No space left on device", "record.json")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Store, "publish", full)
        with pytest.raises(OSError, match="No space"):
            run_cell(store.root, job)
    assert checkpoint.exists()
    assert run_cell(store.root, job) == "done"
    assert not checkpoint.exists()


class Finalized:
    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        for _ in range(10):
            pass  # the interpreter looks for signals between its instructions


# What the handler raises may come up in a callback of the interpreter, which prints it: that is
# one of the ways in which it gets lost.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("how", ["lost", "in a finalizer", "turned into another error"])
def test_a_signal_that_a_library_swallows_stops_the_cell_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    real = worker.read_text

    def read_text(*arguments: Any) -> Any:
        try:
            if how == "in a finalizer":
                Finalized()
            else:
                os.kill(os.getpid(), signal.SIGTERM)
        except Interrupted as error:
            if how == "turned into another error":
                raise RuntimeError("it could not be read") from error
        return real(*arguments)

    monkeypatch.setattr(worker, "read_text", read_text)
    monkeypatch.setattr(watch, "PROGRESS_SECONDS", 0.0)
    store, (job,) = planned(tmp_path, train_tokens=256_000)
    assert run_cell(store.root, job) == "interrupted"
    assert store.state(job.run_id) == "pending"
