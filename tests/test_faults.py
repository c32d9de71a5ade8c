"""Faults on the real thing: one clear line, nothing lost, and the sweep ends as if undisturbed."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from scaling import watch
from scaling.engines.local import run_jobs
from scaling.errors import describe_os_error
from scaling.jobs import Job, make_jobs
from scaling.store import Store
from scaling.sweep import expand
from scaling.worker import run_cell
from tests.disks import disk_of, make_read_only, make_writable, resize
from tests.launches import PATIENCE_SECONDS, launch, launched, results, wait_for
from tests.test_local import Silent
from tests.tiny_sweep import loader, write_tiny_sweep

ROOT = Path(__file__).parents[1]


def planned(folder: Path, root: Path, **changes: object) -> tuple[Store, list[Job]]:
    """A store at `root` with the cells of a tiny sweep, whose texts lie beside it."""
    store = Store(root)
    root.mkdir(parents=True, exist_ok=True)
    if not (root / "cache").exists():
        (folder / "cache").mkdir(exist_ok=True)
        (root / "cache").symlink_to(folder / "cache")
    sweep = expand(write_tiny_sweep(folder, **changes), loader(root))
    for cell in sweep.cells:
        store.add(cell.spec)
    return store, make_jobs(sweep.cells, wandb_mode="disabled")


@pytest.mark.slow
def test_each_write_fails_once_on_a_full_disk_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "CHECKPOINT_SECONDS", 0.0)
    quiet, jobs = planned(tmp_path, tmp_path / "quiet", train_tokens=2560)
    assert run_cell(quiet.root, jobs[0]) == "done"
    failed_at = []
    with disk_of(tmp_path / "disk", kibibytes=4096) as disk:
        for kibibytes in range(4, 400, 8):
            root = disk / f"runs{kibibytes}"
            store, jobs = planned(tmp_path, root, train_tokens=2560)
            used = sum(p.lstat().st_blocks // 2 for p in disk.rglob("*") if p.is_file())
            resize(disk, kibibytes=used + kibibytes)
            try:
                outcome = run_cell(root, jobs[0])
            except OSError as error:
                line = describe_os_error(error)
                assert "no space left on device, " in line
                failed_at.append(Path(str(error.filename)).name)
                outcome = "full"
                # Neither a result nor a claim is left, nor half a file.
                assert store.states([jobs[0].run_id]) == {jobs[0].run_id: "pending"}
                assert not list(root.rglob("*.tmp"))
            resize(disk, kibibytes=used + 4096)
            assert outcome == "full" or run_cell(root, jobs[0]) == "busy"
            assert outcome == "done" or run_cell(root, jobs[0]) == "done"
            assert results(store.root) == results(quiet.root)
            if outcome == "done":
                break
    # It was full at the claim, at checkpoints or forks, at the weights and at the record.
    assert outcome == "done"
    assert len(failed_at) > 4, failed_at
    assert len(set(failed_at)) > 2, failed_at


@pytest.mark.slow
def test_a_store_on_a_read_only_disk_can_be_read_and_says_why_it_cannot_be_written(
    tmp_path: Path,
) -> None:
    with disk_of(tmp_path / "disk", kibibytes=4096) as disk:
        sweep = write_tiny_sweep(tmp_path, train_tokens=2560)
        arguments = [str(sweep), "--root", str(disk / "runs")]
        assert scaling("run", *arguments, "--wandb", "disabled", "--workers", "1").returncode == 0
        make_read_only(disk)
        status = scaling("status", "tiny", "--root", str(disk / "runs"), "--json")
        assert json.loads(status.stdout)["counts"] == {"done": 1}
        assert scaling("store", "check", "--root", str(disk / "runs")).returncode == 0
        for command in (
            ("run", *arguments, "--set", "seed=1"),
            ("store", "check", "--mend", *arguments[1:]),
        ):
            result = scaling(*command)
            assert result.returncode == 2
            (line,) = result.stderr.splitlines()
            assert "read-only file system; choose a place that can be written with --root" in line
        make_writable(disk)


def scaling(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "scaling", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)


@pytest.mark.slow
def test_a_store_that_vanishes_ends_the_launch_and_the_sweep_goes_on_when_it_is_back(
    tmp_path: Path,
) -> None:
    changes = {"train_tokens": 400_128, "seed": [0, 1]}
    store, jobs = planned(tmp_path, tmp_path / "runs", **changes)
    sweep_file, away = tmp_path / "tiny.yaml", tmp_path / "away"
    with launch(sweep_file, store.root, "--workers", "2") as launcher:
        wait_for(lambda: list(store.root.glob("cells/*/claim.json")))
        os.rename(store.root, away)
        output, _ = launcher.communicate(timeout=PATIENCE_SECONDS)
    assert launcher.returncode == 2, output
    assert output.count("error: ") == 1, output
    assert "Traceback" not in output
    assert not (tmp_path / "runs" / "cells" / jobs[0].run_id / "record.json").exists()
    for path in (tmp_path / "runs").rglob("*"):
        assert path.name not in ("record.json", "checkpoint.pt")
    if store.root.exists():
        os.rename(store.root, tmp_path / "litter")
    os.rename(away, store.root)
    code, output = launched(sweep_file, store.root, "--workers", "2")
    assert code == 0, output
    quiet, jobs = planned(tmp_path, tmp_path / "quiet", **changes)
    run_jobs(quiet.root, jobs, workers=2, display=Silent())
    assert results(store.root) == results(quiet.root)


def test_a_model_that_no_memory_holds_is_told_apart(tmp_path: Path) -> None:
    store, (job,) = planned(
        tmp_path, tmp_path / "runs", train_tokens=2560, d_model=1 << 22, n_head=1 << 10
    )
    assert run_cell(store.root, job) == "out_of_memory"
    record = store.record(job.run_id)
    assert record is not None
    assert record.reason is not None
    assert "allocate memory" in record.reason
    assert len(record.reason.splitlines()) == 1


@pytest.mark.slow
def test_a_process_at_its_limit_of_memory_records_that_and_a_retry_completes(
    tmp_path: Path,
) -> None:
    """A limit on the address space, as a batch system sets one."""
    changes = {"train_tokens": 2560, "d_model": 512, "n_layer": 8, "n_head": 8}
    store, (job,) = planned(tmp_path, tmp_path / "runs", **changes)
    script = (
        "import resource, sys, pathlib\n"
        "import torch\n"
        "from scaling.jobs import Job\n"
        "from scaling.worker import run_cell\n"
        "torch.set_num_threads(1)\n"
        "held = int(pathlib.Path('/proc/self/statm').read_text().split()[0])\n"
        "limit = held * resource.getpagesize() + int(sys.argv[3])\n"
        "resource.setrlimit(resource.RLIMIT_AS, (limit, limit))\n"
        "job = Job(run_id=sys.argv[2], wandb_mode='disabled')\n"
        "print(run_cell(pathlib.Path(sys.argv[1]), job))\n"
    )
    assert resource.getrlimit(resource.RLIMIT_AS)[1] == resource.RLIM_INFINITY
    command = [sys.executable, "-c", script, str(store.root), job.run_id]
    done = subprocess.run([*command, str(256 << 20)], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "out_of_memory\n", done.stderr
    assert store.state(job.run_id) == "out_of_memory"
    assert store.retry(job.run_id) == "out_of_memory"
    done = subprocess.run([*command, str(16 << 30)], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "done\n", done.stderr
