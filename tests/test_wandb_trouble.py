"""W&B that hangs, is down, slow or refuses: training waits for nothing, and nothing is lost."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import wandb
from click.testing import CliRunner

from scaling import wandb_writer
from scaling.cli import main
from scaling.tracking import make_logger
from scaling.wandb_mirror import upload
from scaling.wandb_mirror.content import TOKENS, rows_of
from scaling.wandb_writer import Server, WandbWriter
from tests.small_store import reference_record, small_store
from tests.wandb_environment import clean_environment, use_service
from tests.wandb_service import wandb_service


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [line.getMessage() for line in caplog.records if line.levelname == "WARNING"]


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[threading.Event]:
    """W&B whose `init` does not come back before the event is set."""
    clean_environment(monkeypatch, tmp_path)
    free = threading.Event()

    def hang(**arguments: Any) -> Any:
        free.wait()
        raise OSError("hung")

    monkeypatch.setattr(wandb, "init", hang)
    monkeypatch.setattr(wandb_writer, "_LEAST_PATIENCE_SECONDS", 0.05)
    yield free
    free.set()


def writer(root: Path, mode: str = "online") -> WandbWriter:
    made = WandbWriter({"id": "a", "project": "p"}, root=root, mode=mode)
    made.start()
    return made


def test_rows_wait_for_nobody_and_the_end_for_little(
    hanging: threading.Event, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one = writer(tmp_path)
    for step in range(1000):
        one.put_row({"progress/step": step})
    one.close({}, exit_code=0)
    assert one.is_alive(), "what it was given goes on being sent"
    assert Server(tmp_path).is_to_be_left_alone()
    (line,) = warnings_of(caplog)
    assert line.startswith("W&B is offline for this run: it does not answer; training goes on")
    assert "scaling sync" in line
    other = writer(tmp_path)
    assert other._mode == "offline", "the next cell does not try the server"
    hanging.set()
    one.join()
    other.close({}, exit_code=0, patience_seconds=10)
    assert sum("scaling sync" in text for text in warnings_of(caplog)) == 1


def test_the_queue_is_bounded(
    hanging: threading.Event,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(wandb_writer, "_MAX_WAITING", 3)
    one = writer(tmp_path)
    for step in range(10):
        one.put_row({"progress/step": step})
    assert one._jobs.qsize() == 3
    (line,) = warnings_of(caplog)
    assert "3 rows wait for it; `scaling sync` sends them later" in line
    one.close({}, exit_code=0)


def test_patience_is_a_share_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = WandbWriter({}, root=tmp_path, mode="online")
    now = one._began
    for ran, patience in ((1, 5), (500, 5), (3000, 30), (100_000, 60)):
        monkeypatch.setattr(wandb_writer.time, "monotonic", lambda ran=ran: now + ran)
        assert one._patience_seconds() == pytest.approx(patience)
    least, pause = wandb_writer._LEAST_PATIENCE_SECONDS, wandb_writer._RETRY_SERVER_SECONDS
    assert least / pause < 0.01


def test_a_server_is_tried_again_after_a_while(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = Server(tmp_path)
    assert not server.is_to_be_left_alone()
    server.failed("down")
    server.failed("down")
    assert server.is_to_be_left_alone()
    (mark,) = (tmp_path / "wandb").iterdir()
    past = mark.stat().st_mtime - 601
    os.utime(mark, (past, past))
    assert not server.is_to_be_left_alone()
    server.failed("down")
    assert server.is_to_be_left_alone()
    assert len(warnings_of(caplog)) == 1
    server.answered()
    assert not server.is_to_be_left_alone()


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["down", "slow", 500, 429])
def test_whatever_the_server_does_a_later_sync_brings_all(
    fault: str | int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    root, records = tmp_path / "store", [reference_record(0), reference_record(1)]
    small_store(root, 2)
    with wandb_service() as service:
        use_service(monkeypatch, tmp_path, service.url)
        monkeypatch.setenv("WANDB_INIT_TIMEOUT", "2")
        monkeypatch.setattr(upload, "_CONFIRM_SECONDS", 10.0)
        if fault == "down":
            monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
        elif fault == "slow":
            service.faults.answer_after(30.0)
        else:
            service.faults.answer_with(int(fault))
        for record in records:
            logger = make_logger(
                record.spec, run_id=record.run_id, root=root, sweep="quickstart", labels={},
                project="scaling", mode="online",
            )  # fmt: skip
            assert logger is not None
            for row in rows_of(record):
                values = {k: v for k, v in row.items() if not k.startswith("progress/")}
                logger.log_row(values, tokens=int(row[TOKENS]), train_flops=1.0, step=1)
            logger.finish(record)
        assert len(warnings_of(caplog)) == 1, warnings_of(caplog)
        assert list((root / "wandb").glob("*run-*/*.wandb")), "the rows are on disk"
        service.faults.heal()
        monkeypatch.setenv("WANDB_BASE_URL", service.url)
        result = CliRunner().invoke(
            main, ["sync", "--project", "team/scaling", "--root", str(root)]
        )
        assert result.exit_code == 0, result.output
        for record in records:
            history = service.state.run(record.run_id).history
            assert [row[TOKENS] for row in history] == [row[TOKENS] for row in rows_of(record)]
