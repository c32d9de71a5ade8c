"""Processes of every kind are killed at random times: each cell ends once, with the same result."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest

from scaling import claims
from scaling.cell_files import CLAIM, RECORD
from scaling.store import Store
from scaling.sweep import Sweep, expand
from scaling.worker import MAX_DEATHS
from tests.launches import PATIENCE_SECONDS
from tests.tiny_sweep import loader, write_tiny_sweep

KILLS = 50
SEED = 0
# Each kill comes a random moment after a random one of these cells of a sweep has ended: tied to
# that and to no clock, all of them strike on a machine of any speed.
KILLED_SHARE = 0.75
MEAN_SECONDS_AFTER = 0.1
# A fast machine ends cells faster than that: a kill that is so late comes at once.
LATE_CELLS = 3

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


def is_dead(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def last_chances(store: Store, sweep: Sweep) -> set[int]:
    """The processes whose cells would be given up, rightly, if they died once more."""
    found = set()
    for cell in sweep.cells:
        folder = store.folder(cell.run_id)
        held = claims.read_claim(folder / CLAIM)
        if held is not None and len(claims.deaths(folder)) >= MAX_DEATHS - 1:
            found.add(held["pid"])
    return found


def victim(
    launcher: psutil.Popen, kind: str, spared: set[int], rng: random.Random
) -> psutil.Process | None:
    """A living process of that kind; None while there is none to take."""
    if kind == "launcher":
        return launcher
    try:
        found = processes_of(launcher)
    except psutil.NoSuchProcess:
        return None
    if kind == "server" and any(process.pid in spared for process in found["worker"]):
        return None  # they die with it
    candidates = [p for p in found[kind] if p.pid not in spared and not is_dead(p)]
    return rng.choice(candidates) if candidates else None


def moments(sweep: Sweep, rng: random.Random, kills: int) -> list[int]:
    """How many cells have ended at each kill; early ones are as likely as late ones."""
    return sorted(rng.choices(range(round(KILLED_SHARE * len(sweep.cells))), k=kills))


def run_disturbed(path: Path, store: Store, sweep: Sweep, rng: random.Random, kills: int) -> None:
    """Launches until all has ended, killing `kills` processes on the way."""
    log = store.root.parent / "launches.txt"
    left = moments(sweep, rng, kills)
    kinds = rng.choices(["worker", "server", "launcher"], weights=[8, 1, 1], k=kills)
    launcher = launch(path, store, log=log)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while left:
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.02)
        if launcher.poll() is not None:
            assert launcher.returncode == -signal.SIGKILL, (left, log.read_text())
            launcher = launch(path, store, log=log)
        ended = sum((store.folder(cell.run_id) / RECORD).exists() for cell in sweep.cells)
        if ended < left[0]:
            continue
        if ended < left[0] + LATE_CELLS:
            time.sleep(rng.expovariate(1 / MEAN_SECONDS_AFTER))
        process = victim(launcher, kinds[-1], last_chances(store, sweep), rng)
        if process is None:
            continue  # a launch takes a while to have processes
        process.kill()
        with log.open("a") as output:
            output.write(f"killed {kinds.pop()} {process.pid} after {left.pop(0)} cells\n")
        while not is_dead(process):
            time.sleep(0.005)
    if launcher.wait(timeout=PATIENCE_SECONDS) == -signal.SIGKILL:
        launcher = launch(path, store, log=log)
    assert launcher.wait(timeout=PATIENCE_SECONDS) == 0, log.read_text()


def ends_of(store: Store, sweep: Sweep) -> Counter[str]:
    """How often the claims of a sweep's cells ended in each way."""
    folders = [store.folder(cell.run_id) / "claims" for cell in sweep.cells]
    return Counter(path.name.split(".")[1] for folder in folders for path in folder.iterdir())


@pytest.mark.slow
def test_fifty_kills_change_no_result(tmp_path: Path) -> None:
    rng = random.Random(SEED)
    store, sweeps = prepared(tmp_path / "disturbed")
    for path, sweep in sweeps:
        run_disturbed(path, store, sweep, rng, KILLS // 2)
    log = (store.root.parent / "launches.txt").read_text()
    assert sum(line.startswith("killed ") for line in log.splitlines()) == KILLS
    struck = sum((ends_of(store, sweep) for _, sweep in sweeps), Counter())
    assert struck.total() - struck["ended"] > KILLS // 2, struck  # most strike in a cell

    quiet, same_sweeps = prepared(tmp_path / "quiet")
    for path, _ in same_sweeps:
        launcher = launch(path, quiet, log=tmp_path / "quiet.txt")
        assert launcher.wait(timeout=PATIENCE_SECONDS) == 0, (tmp_path / "quiet.txt").read_text()
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
        assert launcher.wait(timeout=PATIENCE_SECONDS) == 0, log.read_text()
    for cell in sweep.cells:
        assert store.state(cell.run_id) == "done"
        folder = store.folder(cell.run_id)
        ends = [p.name.split(".")[1] for p in (folder / "claims").iterdir()]
        assert [end for end in ends if end != "released"] == ["ended"]
        assert json.loads((folder / "record.json").read_bytes())["provenance"]["attempts"] == len(
            ends
        )
    assert store.refused() == []
