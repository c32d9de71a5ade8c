"""Processes of every kind are killed at random times: each cell ends once, with the same result."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from scaling.store import Store
from scaling.sweep import Sweep, expand
from tests.tiny_sweep import loader, write_tiny_sweep

KILLS = 50
SEED = 0
MEAN_SECONDS_BETWEEN = 1.0

# 200 cells: single ones, and chains of a trunk with two branches.
SINGLE: dict[str, Any] = {"train_tokens": 2560, "seed": list(range(110)), "eval_tokens": 256}
CHAINS: dict[str, Any] = {
    "train_tokens": [2560, 5120, 10240], "seed": list(range(200, 230)), "eval_tokens": 256,
}  # fmt: skip


def prepared(folder: Path) -> tuple[Store, list[tuple[Path, Sweep]]]:
    folder.mkdir()
    store = Store(folder / "runs")
    sweeps = []
    for name, changes in (("single", SINGLE), ("chains", CHAINS)):
        path = write_tiny_sweep(folder, name=name, **changes)
        sweeps.append((path, expand(path, loader(store.root))))
    return store, sweeps


def launch(path: Path, store: Store, *, log: Path) -> psutil.Popen:
    command = [sys.executable, "-m", "scaling", "run", str(path), "--root", str(store.root)]
    with log.open("ab") as output:
        return psutil.Popen(
            [*command, "--wandb", "disabled", "--workers", "4"],
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=Path(__file__).parents[1],
        )


def processes_of(launcher: psutil.Popen) -> dict[str, list[psutil.Process]]:
    """The fork server of a launcher and the processes that train."""
    found: dict[str, list[psutil.Process]] = {"server": [], "worker": []}
    for child in launcher.children():
        if "forkserver" in " ".join(child.cmdline()):
            found["server"].append(child)
            found["worker"] += child.children()
    return found


def victims(launcher: psutil.Popen, kind: str, rng: random.Random) -> Iterator[psutil.Process]:
    try:
        candidates = [launcher] if kind == "launcher" else processes_of(launcher)[kind]
    except psutil.NoSuchProcess:
        return
    if candidates:
        yield rng.choice(candidates)


def run_disturbed(path: Path, store: Store, sweep: Sweep, rng: random.Random, kills: int) -> int:
    """Launches until all has ended, killing on the way; returns how many kills were done."""
    done = 0
    log = store.root.parent / "launches.txt"
    launcher = launch(path, store, log=log)
    while True:
        time.sleep(rng.expovariate(1 / MEAN_SECONDS_BETWEEN))
        if launcher.poll() is not None:
            if launcher.returncode != -signal.SIGKILL:
                assert launcher.returncode == 0, log.read_text()
                return done
            launcher = launch(path, store, log=log)
        if done == kills:
            assert launcher.wait(timeout=240) == 0, log.read_text()
            return done
        kind = rng.choices(["worker", "server", "launcher"], weights=[8, 1, 1])[0]
        for victim in victims(launcher, kind, rng):
            victim.kill()
            done += 1
            with log.open("a") as output:
                output.write(f"killed {kind} {victim.pid} at {time.monotonic():.1f}\n")


@pytest.mark.slow
def test_fifty_kills_change_no_result(tmp_path: Path) -> None:
    rng = random.Random(SEED)
    store, sweeps = prepared(tmp_path / "disturbed")
    done = 0
    for number, (path, sweep) in enumerate(sweeps):
        share = KILLS // 2 if number == 0 else KILLS - done
        done += run_disturbed(path, store, sweep, rng, share)
    assert done == KILLS

    quiet, same_sweeps = prepared(tmp_path / "quiet")
    for path, _ in same_sweeps:
        launcher = launch(path, quiet, log=tmp_path / "quiet.txt")
        assert launcher.wait(timeout=240) == 0, (tmp_path / "quiet.txt").read_text()
    cells = [cell for _, sweep in sweeps for cell in sweep.cells]
    same_cells = [cell for _, sweep in same_sweeps for cell in sweep.cells]
    assert len(cells) == 200
    for cell, same in zip(cells, same_cells, strict=True):
        disturbed, undisturbed = store.record(cell.run_id), quiet.record(same.run_id)
        assert disturbed is not None
        assert undisturbed is not None
        # The corpus lies in another folder; its fingerprint, and so the run id, is the same.
        assert disturbed.run_id == undisturbed.run_id
        expected = undisturbed.result() | {"spec": disturbed.result()["spec"]}
        assert disturbed.result() == expected
        assert disturbed.status == "done"
        ends = [
            path.name.split(".")[1] for path in (store.folder(cell.run_id) / "claims").iterdir()
        ]
        assert ends.count("ended") == 1, ends
    assert store.refused() == []
    assert not list(store.root.glob("cells/*/claim.json"))


@pytest.mark.slow
def test_two_launchers_at_once_train_each_cell_once(tmp_path: Path) -> None:
    store, sweeps = prepared(tmp_path / "shared")
    path, sweep = sweeps[1]
    logs = [tmp_path / f"{number}.txt" for number in range(2)]
    launchers = [launch(path, store, log=log) for log in logs]
    for launcher, log in zip(launchers, logs, strict=True):
        assert launcher.wait(timeout=240) == 0, log.read_text()
    for cell in sweep.cells:
        assert store.state(cell.run_id) == "done"
        folder = store.folder(cell.run_id)
        ends = [p.name.split(".")[1] for p in (folder / "claims").iterdir()]
        assert [end for end in ends if end != "released"] == ["ended"]
        assert json.loads((folder / "record.json").read_bytes())["provenance"]["attempts"] == len(
            ends
        )
    assert store.refused() == []
