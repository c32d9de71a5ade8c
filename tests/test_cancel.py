"""Cancelling: nobody starts a marked cell, a running one stops at its checkpoint, and goes on."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from scaling import cancel, claims, watch
from scaling.cell_files import CLAIM
from scaling.checkpoint import CHECKPOINT
from scaling.jobs import Job, Queue
from scaling.store import Store
from scaling.watch import Progress
from scaling.worker import run_cell
from tests.launches import PATIENCE_SECONDS, claim_pids, launch, launched, results, wait_for
from tests.test_cli import assert_one_line, scaling
from tests.test_local import LONG, Silent, prepared, train
from tests.test_worker import planned


def waiting_for(happened: threading.Event) -> Callable[[Progress], None]:
    """Holds training up at its first report, until a heartbeat has done its work."""

    def on_progress(progress: Progress) -> None:
        assert happened.wait(30)

    return on_progress


def test_a_marked_cell_is_had_by_no_worker(tmp_path: Path) -> None:
    store, (first, second) = planned(tmp_path)
    queue = Queue([first, second], store)
    assert cancel.mark(store.folder(second.run_id), cancel.new_mark("enough"))
    assert store.claim(second.run_id) is None
    assert run_cell(store.root, second) == "busy"
    assert store.states([first.run_id, second.run_id]) == {
        first.run_id: "pending",
        second.run_id: "cancelled",
    }
    queue.refresh()
    assert [job.run_id for job in queue.unfinished] == [first.run_id]
    assert queue.counts() == {"pending": 1, "cancelled": 1}
    assert cancel.lift(store.folder(second.run_id))
    assert not cancel.lift(store.folder(second.run_id))
    assert store.claim(second.run_id) is not None


def test_a_mark_between_the_look_and_the_claim_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, (job, _) = planned(tmp_path)
    take = claims.take

    def taken_late(folder: Path) -> claims.Claim | None:
        cancel.mark(folder, cancel.new_mark())
        return take(folder)

    monkeypatch.setattr(claims, "take", taken_late)
    assert store.claim(job.run_id) is None
    assert store.state(job.run_id) == "cancelled"


def test_the_first_mark_stays_and_a_damaged_one_counts(tmp_path: Path) -> None:
    first = cancel.Mark(by="ann@one", at="2026-01-02T03:04:05+00:00", reason="no power")
    assert cancel.mark(tmp_path, first)
    assert not cancel.mark(tmp_path, cancel.new_mark("later"))
    found = cancel.read_mark(tmp_path)
    assert found == first
    assert str(found) == "cancelled by ann@one at 2026-01-02T03:04:05+00:00: no power"
    (tmp_path / "cancel.json").write_text("{")
    damaged = cancel.read_mark(tmp_path)
    assert damaged is not None
    assert damaged.by == "unknown"
    assert cancel.is_marked(tmp_path)


def wait_for_heartbeats(folder: Path, count: int = 5) -> None:
    """However busy the machine is: each one moves the time of the claim."""
    times = {(folder / CLAIM).stat().st_mtime_ns}
    deadline = time.monotonic() + 60
    while len(times) <= count and time.monotonic() < deadline:
        time.sleep(0.01)
        times.add((folder / CLAIM).stat().st_mtime_ns)


def test_a_running_cell_stops_at_its_checkpoint_and_goes_on_to_the_same_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "HEARTBEAT_SECONDS", 0.05)
    monkeypatch.setattr(watch, "PROGRESS_SECONDS", 0.0)
    store, (job,) = planned(tmp_path, train_tokens=25_600)
    folder = store.folder(job.run_id)

    def on_progress(progress: Progress) -> None:
        if progress.tokens == 10_240:
            cancel.mark(folder, cancel.new_mark())
            wait_for_heartbeats(folder)

    assert run_cell(store.root, job, on_progress=on_progress) == "interrupted"
    assert store.state(job.run_id) == "cancelled"
    assert (folder / CHECKPOINT).exists()
    assert claims.deaths(folder) == []
    cancel.lift(folder)
    went_on: list[int] = []
    assert run_cell(store.root, job, on_progress=lambda p: went_on.append(p.tokens)) == "done"
    assert went_on[0] > 10_240
    (tmp_path / "alone").mkdir()
    alone, (same,) = planned(tmp_path / "alone", train_tokens=25_600)
    assert run_cell(alone.root, same) == "done"
    resumed, undisturbed = store.record(job.run_id), alone.record(same.run_id)
    assert resumed is not None
    assert undisturbed is not None
    spec = {"spec": undisturbed.result()["spec"]}
    assert resumed.result() | spec == undisturbed.result()


@pytest.fixture
def idle(tmp_path: Path) -> tuple[Path, Store, list[Job]]:
    """A sweep that is known to its store, with nobody who trains it."""
    store, sweep = prepared(tmp_path)
    store.write_sweep(sweep.name, sweep.source, sweep.to_dicts())
    return tmp_path / "tiny.yaml", store, [cell.run_id for cell in sweep.cells]  # type: ignore[misc]


def test_cancel_tells_what_it_did_and_how_to_go_on(idle: tuple[Path, Store, list[str]]) -> None:
    sweep, store, (first, second) = idle
    some = scaling("cancel", sweep, "--root", store.root, "--cell", first[:8], "--reason", "a\n b")
    assert some.exit_code == 0, some.output
    assert some.output.splitlines() == [
        "tiny: cancelled: 1 pending (not to be started)",
        f"go on with: scaling run {sweep} --root {store.root}",
    ]
    assert store.states([first, second]) == {first: "cancelled", second: "pending"}
    mark = cancel.read_mark(store.folder(first))
    assert mark is not None
    assert mark.reason == "a b"
    both = scaling("cancel", "tiny", "--root", store.root)
    assert both.output.startswith(
        "tiny: cancelled: 1 pending (not to be started), 1 cancelled (already)\n"
    )
    # The sweep is no bundled one, so its name alone would not find it.
    assert f"go on with: scaling run {store.root / 'tiny' / 'sweep.yaml'} --root" in both.output


def test_a_cell_that_is_not_of_the_sweep_is_one_line(idle: tuple[Path, Store, list[str]]) -> None:
    _, store, _ = idle
    for given, message in (
        ("../../x", "no run id begins with '../../x'; `scaling status SWEEP` lists them"),
        ("", "2 run ids begin with ''"),
    ):
        result = scaling("cancel", "tiny", "--root", store.root, "--cell", given)
        assert_one_line(result, message)


def test_a_retry_lifts_the_marks(idle: tuple[Path, Store, list[str]]) -> None:
    _, store, run_ids = idle
    scaling("cancel", "tiny", "--root", store.root)
    assert set(store.states(run_ids).values()) == {"cancelled"}
    untouched = scaling("retry", "tiny", "--root", store.root, "--only", "failed")
    assert untouched.output == "tiny: no cell is failed\n"
    result = scaling("retry", "tiny", "--root", store.root, "--only", "cancelled")
    assert result.output.startswith("tiny: pending again: 2 cancelled; train them with: ")
    assert set(store.states(run_ids).values()) == {"pending"}


def test_an_agent_does_not_start_a_cancelled_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    from tests.tiny_sweep import tiny_parameters

    store, sweep = prepared(tmp_path, train_tokens=2560)
    cancel.mark(store.folder(sweep.cells[0].run_id), cancel.new_mark("no more"))
    point = tmp_path / "point.json"
    point.write_text(json.dumps(tiny_parameters(tmp_path, train_tokens=2560)))
    result = scaling("cell", point, "--root", store.root, "--wandb", "disabled")
    assert result.exit_code == 1
    assert f"{sweep.cells[0].run_id} cancelled: cancelled by " in result.output.splitlines()[-1]


@pytest.mark.slow
def test_a_cancelled_launch_ends_and_a_new_one_goes_on_to_the_same_results(tmp_path: Path) -> None:
    # Much longer than two heartbeats: at one the first cells are seen to run, at one they stop.
    changes = {"train_tokens": [9 * LONG, 10 * LONG], "seed": [0, 1]}
    store, sweep = prepared(tmp_path / "disturbed", **changes)
    sweep_file = tmp_path / "disturbed" / "tiny.yaml"
    command = (sweep_file, store.root, "--workers", "1")
    with launch(*command) as first, launch(*command) as second:
        wait_for(lambda: len(claim_pids(store.root)) == 2)
        wait_for(lambda: list(store.root.glob("cells/*/progress.json")))
        result = scaling("cancel", "tiny", "--root", store.root, "--reason", "tea")
        assert "2 running (at its checkpoint within about 5 s), 2 pending" in result.output
        for launcher in (first, second):
            output, _ = launcher.communicate(timeout=PATIENCE_SECONDS)
            assert launcher.returncode == 1, output
            assert output.count(": tea\n") == 4, output
            assert "go on with the cancelled cells: scaling run " in output.splitlines()[-1]
    states = store.states(cell.run_id for cell in sweep.cells)
    assert set(states.values()) == {"cancelled"}
    assert len(list(store.root.glob("cells/*/checkpoint.pt"))) == 2

    code, output = launched(sweep_file, store.root, "--workers", "2")
    assert code == 0, output
    assert "4 cells were cancelled and go on where their checkpoints are" in output
    quiet, same_sweep = prepared(tmp_path / "undisturbed", **changes)
    train(quiet, same_sweep, Silent())
    assert results(store.root) == results(quiet.root)
