"""A worker that takes cells from the store until nothing is left for it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from scaling.engines import child
from scaling.engines.cell_process import fork_server
from scaling.engines.child import Seat
from scaling.engines.job_file import read_jobs, write_jobs
from scaling.engines.pool_worker import EXIT_STOPPED, Shift, Told, Worker
from scaling.errors import StoreError
from scaling.jobs import Job, make_jobs
from scaling.store import Store
from scaling.sweep import expand
from tests.launches import wait_for
from tests.tiny_sweep import loader, write_tiny_sweep


def prepared(folder: Path, **changes: Any) -> tuple[Store, list[Job], Path]:
    store = Store(folder / "runs")
    sweep = expand(write_tiny_sweep(folder, **changes), loader(store.root))
    for cell in sweep.cells:
        store.add(cell.spec)
    jobs = make_jobs(sweep.cells, wandb_mode="disabled", sweep="tiny", timeout_seconds=60.0)
    write_jobs(folder / "jobs.json", jobs)
    return store, jobs, folder / "jobs.json"


def worker(store: Store, file: Path, *, devices: int = 1) -> Worker:
    return Worker(store.root, file, devices=devices, table=[Seat(threads=1)])


def test_jobs_come_back_from_their_file_as_they_were(tmp_path: Path) -> None:
    _, jobs, file = prepared(tmp_path)
    assert read_jobs(file) == jobs
    assert any(job.shorter for job in jobs)


@pytest.mark.parametrize(
    "content",
    ["{", "[]", '{"schema_version": 2, "jobs": []}', '{"schema_version": 1, "jobs": [{"x": 1}]}'],
)
def test_a_file_of_another_kind_is_no_list_of_jobs(tmp_path: Path, content: str) -> None:
    (tmp_path / "jobs.json").write_text(content)
    with pytest.raises(StoreError, match=r"jobs\.json is no list of jobs that this version"):
        read_jobs(tmp_path / "jobs.json")


def test_the_worker_that_ends_a_trunk_takes_its_branch(tmp_path: Path) -> None:
    store, jobs, file = prepared(tmp_path)
    # It does not wait: what it may take when a cell has ended, it takes at once.
    shift = worker(store, file).work(Told(), idle_seconds=0)
    assert shift == Shift(end="finished", trained=True)
    records = [store.record(job.run_id) for job in jobs]
    assert [record and record.provenance.forked_from for record in records] == [
        job.shorter[0] if job.shorter else None for job in jobs
    ]


def test_a_worker_leaves_when_the_living_train_what_is_left(tmp_path: Path) -> None:
    store, jobs, file = prepared(tmp_path)
    claim = store.claim(jobs[0].run_id)
    assert claim is not None
    shift = worker(store, file).work(Told(), idle_seconds=0.1)
    assert shift == Shift(end="others", trained=False)
    # The branch waits for whoever ends the trunk.
    assert store.state(jobs[1].run_id) == "pending"


def test_a_worker_takes_the_jobs_of_its_number_of_devices_alone(tmp_path: Path) -> None:
    store, _, file = prepared(tmp_path)
    assert worker(store, file, devices=4).work(Told()) == Shift(end="finished", trained=False)


def test_cells_that_a_later_launch_added_are_found(tmp_path: Path) -> None:
    store, jobs, file = prepared(tmp_path, train_tokens=[2560, 5120])
    write_jobs(file, jobs[:1])
    started = worker(store, file)
    write_jobs(file, jobs)
    assert started.work(Told()).end == "finished"
    assert store.state(jobs[1].run_id) == "done"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM])
def test_a_signal_stops_a_worker_at_checkpoints(tmp_path: Path, number: signal.Signals) -> None:
    store, jobs, file = prepared(tmp_path, train_tokens=2_500_096)
    command = [sys.executable, "-m", "scaling.engines.pool_worker", "--root", str(store.root)]
    process = subprocess.Popen(
        [*command, "--jobs", str(file)], cwd=Path(__file__).parents[1], stdout=subprocess.PIPE
    )
    folder = store.folder(jobs[0].run_id)
    wait_for(lambda: (folder / "claim.json").exists(), seconds=120)
    pid = json.loads((folder / "claim.json").read_text())["pid"]
    # Longer than a process works before its first step.
    wait_for(lambda: psutil.Process(pid).cpu_times().user > 2.5, seconds=120)
    process.send_signal(number)
    # A batch system tells every process of a job, and the worker tells its cells again.
    os.kill(pid, signal.SIGTERM)
    output, _ = process.communicate(timeout=90)
    assert process.returncode == EXIT_STOPPED
    assert f"interrupted\nstopped by {number.name}\n" in output.decode()
    assert [path.name for path in (folder / "claims").glob("*.json")] == ["000001.released.json"]
    assert (folder / "checkpoint.pt").exists()


def test_the_server_of_the_cells_outlives_what_tells_them_to_stop() -> None:
    context = fork_server(1)

    def server() -> int:
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_tell, args=(theirs,))
        process.start()
        pid, on_sigterm = ours.recv()
        process.join()
        # The cells themselves, and those that wait for one, have to hear it.
        assert on_sigterm == signal.SIG_DFL
        return int(pid)

    first = server()
    os.kill(first, signal.SIGTERM)
    assert server() == first


def _tell(connection: Any) -> None:
    child._belong_to_parent()
    connection.send((os.getppid(), signal.getsignal(signal.SIGTERM)))
