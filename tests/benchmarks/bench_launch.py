"""What launching costs: cells whose training returns at once, and a first step from a cold start.

    python -m tests.benchmarks.bench_launch [--cells 2000] [--workers 4]

Prints milliseconds per cell for processes that stay and for a process per cell, and what a cell
costs inside its process; then the time line of `scaling run` on one tiny cell. Wall-clock times
on a busy machine mean little: compare the lines with each other.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import json
import pstats
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from scaling.engines import crew
from scaling.engines.cell_process import Running
from scaling.engines.local import run_jobs
from scaling.jobs import Job, Queue, make_jobs
from scaling.store import Store
from scaling.sweep import Cell
from tests.benchmarks.empty_cell import run_empty
from tests.factories import make_text, spec_for
from tests.tiny_sweep import write_tiny_sweep


class Silent:
    def update(self, queue: Queue, running: Sequence[Running]) -> None:
        pass


def prepared(folder: Path, n_cells: int) -> tuple[Store, list[Job]]:
    store = Store(folder / "runs")
    text = make_text(folder)
    cells = [Cell(labels={}, spec=spec_for(text, seed=seed)) for seed in range(n_cells)]
    for cell in cells:
        store.add(cell.spec)
    return store, make_jobs(cells, wandb_mode="disabled")


def launched(n_cells: int, workers: int, per_process: int) -> tuple[float, float]:
    """Seconds for empty cells, by the clock and of CPU in all processes."""
    crew.CELLS_PER_PROCESS = per_process
    with tempfile.TemporaryDirectory() as folder:
        # The first cells pay for the fork server and the cache of the text.
        store, jobs = prepared(Path(folder), n_cells + workers)
        _run(store, jobs[:workers], workers)
        started, cpu_started = time.monotonic(), _cpu_seconds()
        _run(store, jobs[workers:], workers)
        seconds = time.monotonic() - started
        cpu_seconds = _cpu_seconds() - cpu_started
        assert all(state == "done" for state in store.states(store.run_ids()).values())
    return seconds, cpu_seconds


def _cpu_seconds() -> float:
    """Of this process, the fork server and the processes that it has seen end."""
    time.sleep(1.0)
    total = 0.0
    for process in (psutil.Process(), *psutil.Process().children()):
        spent = process.cpu_times()
        total += spent.user + spent.system
        if process.pid != psutil.Process().pid:
            total += spent.children_user + spent.children_system
    return total


def _run(store: Store, jobs: list[Job], workers: int) -> None:
    run_jobs(store.root, jobs, workers=workers, display=Silent(), run_cell=run_empty)


def in_process(n_cells: int, *, profile: bool) -> float:
    """CPU seconds for empty cells one after the other in this process."""
    with tempfile.TemporaryDirectory() as folder:
        store, jobs = prepared(Path(folder), n_cells + 1)
        run_empty(store.root, jobs[0])
        gc.freeze()  # as the fork server does
        profiler = cProfile.Profile()
        started = time.process_time()
        if profile:
            profiler.enable()
        for job in jobs[1:]:
            run_empty(store.root, job)
        profiler.disable()
        seconds = time.process_time() - started
    if profile:
        pstats.Stats(profiler).sort_stats("cumulative").print_stats(35)
    return seconds


def first_step(folder: Path) -> str:
    """The time line of `scaling run` on one cell, by the times of its files; the cache is warm."""
    path = write_tiny_sweep(folder, train_tokens=2560)
    root = folder / "runs"
    command = [sys.executable, "-m", "scaling", "run", str(path), "--root", str(root)]
    for _ in range(2):
        shutil.rmtree(root / "cells", ignore_errors=True)
        started = time.time()
        subprocess.run([*command, "--wandb", "disabled"], check=True, capture_output=True)
        ended = time.time() - started
    [claim] = root.glob("cells/*/claims/*.ended.json")
    [record] = root.glob("cells/*/record.json")
    trained = json.loads(record.read_bytes())["provenance"]
    claimed, published = (file.stat().st_mtime - started for file in (claim, record))
    return (
        f"`scaling run` of one cell: claimed after {claimed:.2f} s, its result after "
        f"{published:.2f} s, of which {trained['wall_seconds']:.2f} s from building the model to "
        f"the evaluation; exit after {ended:.2f} s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--profile", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(first_step(Path(folder)))
    few = max(1, given.cells // 10)
    seconds = in_process(few, profile=given.profile)
    print(f"store and text, in one process: {1e3 * seconds / few:.1f} ms of CPU per cell")
    for name, n_cells, per_process in (
        ("a process per cell", few, 1),
        ("processes that stay", given.cells, crew.CELLS_PER_PROCESS),
    ):
        seconds, cpu_seconds = launched(n_cells, given.workers, per_process)
        print(
            f"{name}: {n_cells} empty cells, {given.workers} workers: {seconds:.2f} s, "
            f"{1e3 * seconds / n_cells:.1f} ms per cell, "
            f"of CPU {1e3 * cpu_seconds / n_cells:.1f} ms"
        )


if __name__ == "__main__":
    main()
