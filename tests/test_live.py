"""Live progress: written on the heartbeat's clock, never in the way, gone with the result."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from scaling import claims, live, watch
from scaling.live import LiveWriter, read_live
from scaling.watch import Progress
from scaling.worker import run_cell
from tests.test_worker import planned

HALF = Progress(tokens=50, train_tokens=100, tokens_per_second=12.5, losses={"clm": 2.0})


@pytest.fixture
def claim(tmp_path: Path) -> claims.Claim:
    taken = claims.take(tmp_path)
    assert taken is not None
    return taken


def test_what_is_written_is_read(claim: claims.Claim) -> None:
    writer = LiveWriter(claim)
    writer.write()
    assert read_live(claim.folder) is None  # nothing to say yet
    writer.take(HALF)
    writer.write()
    found = read_live(claim.folder)
    assert found is not None
    assert (found.tokens, found.train_tokens, found.tokens_per_second) == (50, 100, 12.5)
    assert found.losses == {"clm": 2.0}
    assert found.owner == claim.owner
    assert (found.machine, found.pid) == (socket.gethostname(), os.getpid())
    writer.remove()
    writer.remove()
    assert read_live(claim.folder) is None


def test_a_loss_that_is_not_finite_is_left_out(claim: claims.Claim) -> None:
    writer = LiveWriter(claim)
    writer.take(Progress(tokens=1, train_tokens=2, tokens_per_second=1.0,
                         losses={"mlm": float("nan"), "nsp": 0.7}))  # fmt: skip
    writer.write()
    found = read_live(claim.folder)
    assert found is not None
    assert found.losses == {"nsp": 0.7}


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"losses": 3, "tokens": 1}', "\x00"])
def test_a_damaged_file_is_no_progress(tmp_path: Path, content: str) -> None:
    (tmp_path / "progress.json").write_text(content)
    assert read_live(tmp_path) is None


def test_nothing_is_written_twice(claim: claims.Claim, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = LiveWriter(claim)
    writer.take(HALF)
    written: list[Path] = []
    monkeypatch.setattr(live, "write_atomic", lambda path, content: written.append(path))
    writer.write()
    writer.write()
    assert len(written) == 1


def test_training_goes_on_where_progress_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = threading.Event()

    def full(*arguments: Any) -> None:
        tried.set()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(claims, "HEARTBEAT_SECONDS", 0.01)
    monkeypatch.setattr(watch, "PROGRESS_SECONDS", 0.0)
    monkeypatch.setattr(live, "write_atomic", full)
    store, (job, _) = planned(tmp_path)
    assert run_cell(store.root, job, on_progress=lambda p: tried.wait(30)) == "done"  # type: ignore[arg-type,return-value]
    assert tried.is_set()


def test_a_running_cell_can_be_watched_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "HEARTBEAT_SECONDS", 0.01)
    monkeypatch.setattr(watch, "PROGRESS_SECONDS", 0.0)
    store, (job, _) = planned(tmp_path)
    folder = store.folder(job.run_id)
    seen: list[live.Live] = []

    def on_progress(progress: Progress) -> None:
        while (found := read_live(folder)) is None:
            pass
        seen.append(found)
        held = json.loads((folder / "claim.json").read_text())
        assert found.owner == held["owner"]

    assert run_cell(store.root, job, on_progress=on_progress) == "done"
    assert seen[0].train_tokens == 2560
    assert 256 <= seen[-1].tokens <= 2560
    assert not (folder / "progress.json").exists()


def test_a_stopped_cell_says_where_its_checkpoint_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "PROGRESS_SECONDS", 0.0)
    store, (job, _) = planned(tmp_path)

    def on_progress(progress: Progress) -> None:
        if progress.tokens == 1024:
            os.kill(os.getpid(), signal.SIGTERM)

    assert run_cell(store.root, job, on_progress=on_progress) == "interrupted"
    found = read_live(store.folder(job.run_id))
    assert found is not None
    # The signal arrives during the report, the run stops after the step that follows.
    assert 1024 <= found.tokens <= 1280
