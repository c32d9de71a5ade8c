"""Processes that stay: the same bits as in fresh ones, and nothing left from cell to cell."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from scaling.engines import crew
from scaling.engines.cell_process import Running
from scaling.engines.local import run_jobs
from scaling.jobs import Job, Outcome, Queue, make_jobs
from scaling.store import Store
from scaling.sweep import Sweep, expand
from scaling.worker import run_cell
from tests.tiny_sweep import loader, write_tiny_sweep


class Pids:
    """Notes the process of each cell, and may kill the first one that trains."""

    def __init__(self, *, kill: bool = False) -> None:
        self.by_cell: dict[str, set[int]] = {}
        self._kill = kill

    def update(self, queue: Queue, running: Sequence[Running]) -> None:
        for cell in running:
            assert cell.process.pid is not None
            self.by_cell.setdefault(cell.job.run_id, set()).add(cell.process.pid)
            if self._kill and not cell.fresh:
                os.kill(cell.process.pid, signal.SIGKILL)
                self._kill = False


def untidy(root: Path, job: Job, *, on_progress: Any = None) -> Outcome:
    """Trains, and then leaves its process as no cell should."""
    outcome = run_cell(root, job, on_progress=on_progress)
    torch.manual_seed(12345)
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(2)
    torch.set_grad_enabled(False)
    os.environ["OMP_NUM_THREADS"] = "7"
    os.environ["WANDB_MODE"] = "online"
    os.chdir("/")
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return outcome


def trained(folder: Path, display: Pids, **options: Any) -> tuple[Store, Sweep]:
    folder.mkdir()
    store = Store(folder / "runs")
    path = write_tiny_sweep(folder, arch=["decoder", "encoder"], seed=[0, 1])
    sweep = expand(path, loader(store.root))
    for cell in sweep.cells:
        store.add(cell.spec)
    jobs = make_jobs(sweep.cells, wandb_mode="disabled")
    run_jobs(store.root, jobs, workers=1, display=display, **options)
    return store, sweep


def results(store: Store, sweep: Sweep) -> list[dict[str, Any]]:
    found = []
    for cell in sweep.cells:
        record = store.record(cell.run_id)
        assert record is not None
        assert record.status == "done"
        found.append(record.result() | {"spec": None})
    return found


def test_a_process_that_stays_gives_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stays, fresh, dirty = Pids(), Pids(), Pids()
    warm = results(*trained(tmp_path / "warm", stays))
    assert len(set.union(*stays.by_cell.values())) == 1
    store, sweep = trained(tmp_path / "dirty", dirty, run_cell=untidy)
    assert results(store, sweep) == warm
    # The number of threads stands in the record's device.
    records = [store.record(cell.run_id) for cell in sweep.cells]
    assert len({record.provenance.device for record in records if record is not None}) == 1
    assert len(set.union(*dirty.by_cell.values())) == 1
    monkeypatch.setattr(crew, "CELLS_PER_PROCESS", 1)
    assert results(*trained(tmp_path / "fresh", fresh)) == warm
    assert len(set.union(*fresh.by_cell.values())) == 8


def test_a_kill_costs_the_cell_that_is_trained_and_no_other(tmp_path: Path) -> None:
    display = Pids(kill=True)
    store, sweep = trained(tmp_path / "killed", display)
    ends = [
        sorted(path.name.split(".")[1] for path in (store.folder(cell.run_id) / "claims").iterdir())
        for cell in sweep.cells
    ]
    assert sum(end != ["ended"] for end in ends) <= 1
    assert len(set.union(*display.by_cell.values())) == 2
    assert len(results(store, sweep)) == 8


def test_each_cell_has_its_own_log(tmp_path: Path) -> None:
    store, sweep = trained(tmp_path / "logged", Pids(), run_cell=talking)
    run_ids = {cell.run_id for cell in sweep.cells}
    for run_id in run_ids:
        log = (store.folder(run_id) / "log.txt").read_text()
        assert run_ids & set(log.split()) == {run_id}


def talking(root: Path, job: Job, *, on_progress: Any = None) -> Outcome:
    outcome = run_cell(root, job, on_progress=on_progress)
    print(job.run_id, flush=True)
    return outcome


def threads_left(root: Path, job: Job, *, on_progress: Any = None) -> Outcome:
    import threading

    threading.Thread(target=threading.Event().wait, daemon=True).start()
    return run_cell(root, job, on_progress=on_progress)


def test_a_process_with_something_left_behind_is_replaced(tmp_path: Path) -> None:
    display = Pids()
    trained(tmp_path / "left", display, run_cell=threads_left)
    assert len(set.union(*display.by_cell.values())) == 8
