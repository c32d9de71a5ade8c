"""The Slurm engine on a real Slurm: munged, slurmctld and three slurmd, started for these tests."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from scaling.engines import slurm
from scaling.store import Store
from scaling.sweep import Sweep, expand
from tests.launches import wait_for
from tests.slurm_cluster import Cluster, reason_to_skip, running_cluster
from tests.tiny_sweep import loader, write_tiny_sweep

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(reason_to_skip() is not None, reason=str(reason_to_skip())),
]

# Trained for longer than it takes Slurm to notice what a test does to it.
LONG = 5_000_192
MIDDLING = 300_032


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    # Not pytest's folder: the path of a socket may have a hundred characters.
    with (
        tempfile.TemporaryDirectory(prefix="slurm-") as folder,
        running_cluster(Path(folder)) as running,
    ):
        yield running


class Launched:
    """A sweep in a store of its own, launched on the cluster."""

    def __init__(self, cluster: Cluster, folder: Path, **changes: Any) -> None:
        self.cluster = cluster
        self.sweep_file = write_tiny_sweep(folder, **changes)
        self.store = Store(folder / "runs")
        self.sweep: Sweep = expand(self.sweep_file, loader(self.store.root))

    def run(self, *options: str, engine: str = "slurm", root: Path | None = None) -> str:
        """What `scaling run` prints."""
        command = [sys.executable, "-m", "scaling", "run", str(self.sweep_file)]
        command += ["--root", str(root or self.store.root), "--wandb", "disabled"]
        done = subprocess.run(
            [*command, "--engine", engine, *options],
            env=self.cluster.environment | {"OMP_NUM_THREADS": "1"},
            cwd=Path(__file__).parents[1],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    @property
    def run_id(self) -> str:
        return self.sweep.cells[0].run_id

    @property
    def folder(self) -> Path:
        return self.store.folder(self.run_id)

    def log(self) -> str:
        logs = sorted((self.store.sweep_folder(self.sweep.name) / "slurm").glob("*.log"))
        return "".join(path.read_text() for path in logs)

    def claim(self) -> dict[str, Any]:
        """The claim of the first cell; empty while there is none."""
        try:
            held: dict[str, Any] = json.loads((self.folder / "claim.json").read_bytes())
        except FileNotFoundError:
            return {}
        return held

    def is_training(self) -> bool:
        """Whether the process of the first cell has worked for longer than its start takes."""
        try:
            return psutil.Process(self.claim()["pid"]).cpu_times().user > 2.5
        except (KeyError, psutil.Error):
            return False

    def ended_claims(self) -> list[str]:
        return sorted(path.name for path in (self.folder / "claims").glob("*.json"))

    def is_done(self) -> bool:
        return all(self.store.state(cell.run_id) == "done" for cell in self.sweep.cells)

    def wait_until_done(self) -> None:
        wait_for(lambda: self.is_done() or is_empty(self.cluster))
        assert self.is_done(), self.log()


def is_empty(cluster: Cluster) -> bool:
    return cluster.call("squeue", "--noheader") == ""


def test_a_sweep_gives_the_results_of_the_local_engine(cluster: Cluster, tmp_path: Path) -> None:
    launched = Launched(cluster, tmp_path, arch=["decoder", "encoder"], seed=[0, 1])
    printed = launched.run("--workers", "2", "--engine-option", "wait=true")
    assert "submitted job" in printed
    assert "tiny: 8 of 8 cells are done" in printed
    local = Store(tmp_path / "local")
    launched.run(engine="local", root=local.root)
    for cell in launched.sweep.cells:
        remote, near = launched.store.record(cell.run_id), local.record(cell.run_id)
        assert remote is not None
        assert near is not None
        assert remote.result() == near.result()
        # Each branch went on from the trunk of the run that it depends on.
        assert remote.provenance.forked_from == cell.depends_on
    assert launched.store.refused() == []
    # With nothing left to take, no task stays for long.
    wait_for(lambda: is_empty(cluster), seconds=60)


def test_a_cell_on_two_devices_is_one_task_with_twice_the_processors(
    cluster: Cluster, tmp_path: Path
) -> None:
    launched = Launched(cluster, tmp_path, train_tokens=5120)
    on_pair = ("--engine-option", "partition=pair", "--engine-option", "wait=true")
    printed = launched.run("--devices", "2", *on_pair)
    assert "1 cells on 2 devices each: submitted job" in printed
    job = re.search(r"submitted job (\d+)", printed)
    assert job is not None
    asked = cluster.call("scontrol", "show", "job", "-o", job[1])
    assert "NumCPUs=2 NumTasks=1 CPUs/Task=2 " in asked
    record = launched.store.record(launched.run_id)
    assert record is not None
    assert record.provenance.devices == 2
    assert launched.ended_claims() == ["000001.ended.json"]
    local = Store(tmp_path / "local")
    launched.run("--devices", "2", engine="local", root=local.root)
    near = local.record(launched.run_id)
    assert near is not None
    assert record.result() == near.result()


def test_a_task_is_requeued_before_its_time_is_up(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "short").mkdir()
    short = Launched(cluster, tmp_path / "short", train_tokens=MIDDLING)
    began = time.monotonic()
    short.run(engine="local")
    measured = short.store.record(short.run_id)
    assert measured is not None
    train_seconds = measured.provenance.train_seconds
    # A machine with much else to do takes long to start.
    minutes = 2 + math.ceil(max(0.0, time.monotonic() - began - train_seconds - 10) / 15)
    # Slurm warns up to half a minute early: it looks at its clock no oftener.
    warning_seconds = 60 * minutes - 80
    tokens = 256 * round(2 * warning_seconds * MIDDLING / train_seconds / 256)
    launched = Launched(cluster, tmp_path, train_tokens=tokens)
    launched.run("--engine-option", f"time={minutes}", "--engine-option", "signal_delay_s=80")
    launched.wait_until_done()
    log = launched.log()
    assert re.search(r"stopped by SIGUSR1\njob \d+_0 is requeued", log)
    record = launched.store.record(launched.run_id)
    assert record is not None
    # Each attempt but the last one gave the cell free with a checkpoint, and the next went on.
    *before, last = launched.ended_claims()
    assert last.endswith(".ended.json")
    assert before
    assert all(name.endswith(".released.json") for name in before)
    assert record.provenance.attempts == len(before) + 1
    # A run that started anew each time would have spent more than its own steps.
    assert record.provenance.spent_flops == pytest.approx(record.train_flops)


def test_an_orphan_of_a_lost_node_is_fenced_off(cluster: Cluster, tmp_path: Path) -> None:
    launched = Launched(cluster, tmp_path, train_tokens=MIDDLING)
    launched.run()
    wait_for(launched.is_training, seconds=120)
    orphan = launched.claim()
    node = cluster.call("squeue", "--noheader", "--format=%N")
    cluster.kill_node(node)
    os.kill(orphan["pid"], signal.SIGSTOP)
    # To the file server, the claim of a lost node grows old.
    os.utime(launched.folder / "claim.json", (0, 0))
    try:
        launched.wait_until_done()
        result = (launched.folder / "record.json").read_bytes()
        record = launched.store.record(launched.run_id)
        assert record is not None
        assert record.provenance.attempts == 2
        os.kill(orphan["pid"], signal.SIGCONT)
        wait_for(lambda: not Path(f"/proc/{orphan['pid']}").exists(), seconds=120)
    finally:
        cluster.start_node(node)
    assert (launched.folder / "record.json").read_bytes() == result
    assert [name.split(".")[:2] for name in launched.store.refused()] == [
        [launched.run_id, "000001"]
    ]
    shown = subprocess.run(
        [sys.executable, "-m", "scaling", "status", "tiny", "--root", str(launched.store.root)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert f"refused: refused/{launched.run_id}.000001." in shown
    wait_for(lambda: "idle" in cluster.call("sinfo", "-h", "-o", "%T", "-n", node), seconds=60)


def test_cancelled_tasks_write_checkpoints_and_a_launch_adds_what_is_missing(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launched = Launched(cluster, tmp_path, train_tokens=LONG, seed=[0, 1, 2])
    launched.run("--workers", "1")
    wait_for(launched.is_training, seconds=120)
    printed = launched.run()
    assert "of 3 worker tasks there are 1 RUNNING already" in printed
    assert "submitted job" in printed
    assert "2 worker tasks" in printed
    assert "nothing to submit" in launched.run()

    for name in ("SLURM_CONF", "PATH"):
        monkeypatch.setenv(name, cluster.environment[name])
    assert len(slurm.cancel(launched.store.root, "tiny")) == 2
    wait_for(lambda: is_empty(cluster), seconds=90)
    assert launched.ended_claims() == ["000001.released.json"]
    assert (launched.folder / "checkpoint.pt").exists()
    assert "not requeued by itself" in launched.log()
    assert slurm.cancel(launched.store.root, "tiny") == []


def test_a_preempted_task_goes_on_where_it_was(cluster: Cluster, tmp_path: Path) -> None:
    launched = Launched(cluster, tmp_path, train_tokens=MIDDLING)
    launched.run("--engine-option", "partition=main")
    wait_for(launched.is_training, seconds=120)
    urgent = ["sbatch", "--partition=urgent", "--nodes=2", "--output=/dev/null"]
    cluster.call(*urgent, "--wrap=sleep 5")
    launched.wait_until_done()
    assert launched.ended_claims() == ["000001.released.json", "000002.ended.json"]
    record = launched.store.record(launched.run_id)
    assert record is not None
    assert record.provenance.spent_flops == pytest.approx(record.train_flops)
