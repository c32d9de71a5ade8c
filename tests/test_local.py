"""The engine of one machine, with real cells in real processes."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from scaling.commands import run as run_command
from scaling.engines.cell_process import Running, fork_server
from scaling.engines.local import run_jobs
from scaling.errors import StoreError
from scaling.jobs import Queue, make_jobs
from scaling.store import Store
from scaling.sweep import Sweep, expand
from tests.launches import PATIENCE_SECONDS, claim_pids, launch, launched, results, wait_for
from tests.tiny_sweep import loader, write_tiny_sweep

LONG = 150_016


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
