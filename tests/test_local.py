"""The engine of one machine, with real cells in real processes."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from scaling.attempt import stoppable
from scaling.commands import run as run_command
from scaling.engines import cell_process, child
from scaling.engines.cell_process import Running, fork_server
from scaling.engines.child import Seat
from scaling.engines.local import run_jobs
from scaling.errors import StoreError
from scaling.jobs import Job, Queue, make_jobs
from scaling.store import Store
from scaling.sweep import Sweep, expand
from scaling.watch import Interrupted
from tests.launches import PATIENCE_SECONDS, claim_pids, launch, launched, results, wait_for
from tests.tiny_sweep import loader, write_tiny_sweep

LONG = 150_016
SEAT = Seat(threads=1)


class Silent:
    """Counts the cells that were started, and shows nothing."""

    def __init__(self) -> None:
        self.started: list[str] = []

    def update(self, queue: Queue, running: Sequence[Running]) -> None:
        for cell in running:
            if cell.job.run_id not in self.started:
                self.started.append(cell.job.run_id)


class KillsThree(Silent):
    """Takes three processes away, as the kernel does when memory runs out."""

    def __init__(self) -> None:
        self.killed: set[int] = set()

    def update(self, queue: Queue, running: Sequence[Running]) -> None:
        for cell in running:
            pid = cell.process.pid
            if pid is not None and pid not in self.killed and len(self.killed) < 3:
                os.kill(pid, signal.SIGKILL)
                self.killed.add(pid)


def prepared(folder: Path, **changes: Any) -> tuple[Store, Sweep]:
    folder.mkdir(exist_ok=True)
    store = Store(folder / "runs")
    sweep = expand(write_tiny_sweep(folder, **changes), loader(store.root))
    for cell in sweep.cells:
        store.add(cell.spec)
    return store, sweep


def train(store: Store, sweep: Sweep, display: Silent, *, workers: int = 2) -> None:
    jobs = make_jobs(sweep.cells, wandb_mode="disabled")
    run_jobs(store.root, jobs, workers=workers, display=display)


def test_a_sweep_is_trained_once_and_a_second_launch_trains_nothing(tmp_path: Path) -> None:
    store, sweep = prepared(tmp_path, arch=["decoder", "encoder"])
    display = Silent()
    train(store, sweep, display)
    assert sorted(display.started) == sorted(cell.run_id for cell in sweep.cells)
    records = [store.record(cell.run_id) for cell in sweep.cells]
    assert [record and record.status for record in records] == ["done"] * 4
    # Each branch went on from the trunk of the run that it depends on.
    found = [record.provenance.forked_from for record in records if record is not None]
    assert found == [cell.depends_on for cell in sweep.cells]
    again = Silent()
    train(store, sweep, again)
    assert again.started == []


def test_a_cell_that_always_dies_is_taken_up_again_and_fails_at_last(tmp_path: Path) -> None:
    store, sweep = prepared(tmp_path, train_tokens=2560)
    display = KillsThree()
    train(store, sweep, display, workers=1)
    assert len(display.killed) == 3
    record = store.record(sweep.cells[0].run_id)
    assert record is not None
    assert record.status == "failed"
    assert record.reason is not None
    assert record.reason.startswith("3 attempts died, the last one: killed by SIGKILL")


def test_a_store_that_cannot_be_written_ends_the_launch_with_one_line(tmp_path: Path) -> None:
    store, sweep = prepared(tmp_path, train_tokens=2560)
    # A file where the cache of texts has to be a folder that can be opened.
    folder = store.folder(sweep.cells[0].run_id)
    (folder / "claims").touch()
    with pytest.raises(StoreError, match=r"claims: .*the same command goes on from here"):
        train(store, sweep, Silent())


def test_children_have_the_environment_of_training(tmp_path: Path) -> None:
    before = dict(os.environ)
    context = fork_server(1)
    assert dict(os.environ) == before
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_tell, args=(theirs,))
    process.start()
    environment, threads, preloaded = ours.recv()
    process.join()
    assert environment["OMP_NUM_THREADS"]
    assert threads == int(environment["OMP_NUM_THREADS"])
    assert preloaded
    if sys.platform == "linux" and "MALLOC_MMAP_THRESHOLD_" not in before:
        assert environment["MALLOC_MMAP_THRESHOLD_"] == "1073741824"


def _tell(connection: Any) -> None:
    preloaded = "pytorch_lightning" in sys.modules
    import torch

    connection.send((dict(os.environ), torch.get_num_threads(), preloaded))


def test_a_process_that_is_stopped_while_it_starts_ends(tmp_path: Path) -> None:
    context = fork_server(1)
    for _ in range(5):
        ours, theirs = context.Pipe()
        process = context.Process(target=child.main, args=(theirs, tmp_path, SEAT, 1, None))
        process.start()
        process.terminate()
        theirs.close()
        process.join(timeout=20)
        ended = process.exitcode
        ours.close()  # else it waits for a cell
        process.join()
        assert ended == -signal.SIGTERM


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_stop_beside_the_work_of_a_cell_is_heard_and_its_outcome_told(
    tmp_path: Path, when: str
) -> None:
    context = fork_server(1)
    job = Job(run_id="0" * 16, sweep=when)
    cell = cell_process.start(context, tmp_path, job, SEAT, 0, limit=2, run_cell=_stops_itself)
    cell.process.join(timeout=20)
    ended = cell.process.exitcode
    told = cell.ended and cell.outcome
    cell_process.dismiss(cell)
    assert ended == 0  # it waits for no second cell
    assert told == {"before": "interrupted", "after": "done"}[when]


def _stops_itself(root: Path, job: Job, *, on_progress: object) -> str:
    if job.sweep == "before":
        os.kill(os.getpid(), signal.SIGTERM)
    try:
        with stoppable():
            pass
    except Interrupted:
        return "interrupted"
    if job.sweep == "after":
        os.kill(os.getpid(), signal.SIGTERM)
    return "done"


def test_how_to_go_on_is_told_as_a_shell_takes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    store, sweep = prepared(tmp_path)
    monkeypatch.setattr(sys, "argv", ["scaling", "run", "tiny", "--set", "seed=[0, 1]"])
    with pytest.raises(SystemExit) as ended:
        run_command._train(store, sweep, [], stopped)
    assert ended.value.code == 130
    told = capsys.readouterr().out.splitlines()[-2:]
    assert told == [
        "stopped with 2 of 2 cells to do, each at its checkpoint",
        "go on with: scaling run tiny --set 'seed=[0, 1]'",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_launch_goes_on_to_the_same_results(tmp_path: Path, how: signal.Signals) -> None:
    changes = {"train_tokens": [LONG, 2 * LONG], "seed": [0, 1]}
    store, _ = prepared(tmp_path / "disturbed", **changes)
    sweep_file = tmp_path / "disturbed" / "tiny.yaml"
    with launch(sweep_file, store.root, "--workers", "2") as launcher:
        wait_for(lambda: len(claim_pids(store.root)) == 2)
        time.sleep(1)
        pids = claim_pids(store.root)
        launcher.send_signal(how)
        output, _ = launcher.communicate(timeout=PATIENCE_SECONDS)
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
    if how is signal.SIGINT:
        assert launcher.returncode == 130
        assert "go on with: scaling run " in output
    assert list(store.root.glob("cells/*/checkpoint.pt"))

    code, output = launched(sweep_file, store.root, "--workers", "2")
    assert code == 0, output
    quiet, same_sweep = prepared(tmp_path / "undisturbed", **changes)
    train(quiet, same_sweep, Silent())
    assert results(store.root) == results(quiet.root)


@pytest.mark.slow
def test_ctrl_c_while_a_launch_starts_is_a_word_and_no_traceback(tmp_path: Path) -> None:
    sweep_file = write_tiny_sweep(tmp_path, train_tokens=[LONG, 2 * LONG], seed=[0, 1])
    for number, pause_seconds in enumerate((0, 0.3, 0.6, 1.0, 1.5, 2.0, 3.0, 4.0)):
        with launch(sweep_file, tmp_path / f"runs{number}", start_new_session=True) as launcher:
            process = psutil.Process(launcher.pid)
            # Before that it is Python itself that starts.
            wait_for(lambda: sum(process.cpu_times()[:2]) > 0.15, pause_seconds=0.01)  # noqa: B023
            time.sleep(pause_seconds)
            os.killpg(launcher.pid, signal.SIGINT)
            output, _ = launcher.communicate(timeout=PATIENCE_SECONDS)
        assert "Traceback" not in output
        # An interruption within `exec`, of which imports are full, ends Python by the signal
        # whatever was made of it; a shell says 130 of both.
        assert launcher.returncode in (130, -signal.SIGINT), output


@pytest.mark.slow
def test_two_launchers_train_no_cell_twice(tmp_path: Path) -> None:
    store, sweep = prepared(tmp_path, seed=[0, 1, 2, 3])
    command = (tmp_path / "tiny.yaml", store.root, "--workers", "2")
    with launch(*command) as first, launch(*command) as second:
        for launcher in (first, second):
            output, _ = launcher.communicate(timeout=PATIENCE_SECONDS)
            assert launcher.returncode == 0, output
    for cell in sweep.cells:
        assert store.state(cell.run_id) == "done"
        ended = os.listdir(store.folder(cell.run_id) / "claims")
        assert ended == ["000001.ended.json"]
    assert store.refused() == []
