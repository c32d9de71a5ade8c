"""What launching costs: cells whose training returns at once, and a first step from a cold start.

    python -m tests.benchmarks.bench_launch [--cells 2000] [--workers 4]

Prints milliseconds per cell for processes that stay and for a process per cell, and what a cell
costs inside its process; then the time line of `scaling run` on one tiny cell. Wall-clock times
on a busy machine mean little: compare the lines with each other.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from scaling.engines import crew
from scaling.engines.cell_process import Running
from scaling.engines.local import run_jobs
from scaling.jobs import Job, Queue, make_jobs
from scaling.store import Store
from scaling.sweep import Cell
from tests.benchmarks.empty_cell import run_empty
from tests.factories import make_text, spec_for


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


def launched(n_cells: int, workers: int, per_process: int) -> float:
    """Seconds for empty cells, from the first start on."""
    crew.CELLS_PER_PROCESS = per_process
    with tempfile.TemporaryDirectory() as folder:
        # The first cells pay for the fork server and the cache of the text.
        store, jobs = prepared(Path(folder), n_cells + workers)
        _run(store, jobs[:workers], workers)
        started = time.monotonic()
        _run(store, jobs[workers:], workers)
        seconds = time.monotonic() - started
        assert all(state == "done" for state in store.states(store.run_ids()).values())
    return seconds


def _run(store: Store, jobs: list[Job], workers: int) -> None:
    run_jobs(store.root, jobs, workers=workers, display=Silent(), run_cell=run_empty)


def in_process(n_cells: int, *, profile: bool) -> float:
    """Seconds for empty cells one after the other in this process."""
    with tempfile.TemporaryDirectory() as folder:
        store, jobs = prepared(Path(folder), n_cells + 1)
        run_empty(store.root, jobs[0])
        profiler = cProfile.Profile()
        started = time.monotonic()
        if profile:
            profiler.enable()
        for job in jobs[1:]:
            run_empty(store.root, job)
        profiler.disable()
        seconds = time.monotonic() - started
    if profile:
        pstats.Stats(profiler).sort_stats("cumulative").print_stats(35)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--profile", action="store_true")
    given = parser.parse_args()
    few = max(1, given.cells // 10)
    seconds = in_process(few, profile=given.profile)
    print(f"store and text, in one process: {1e3 * seconds / few:.1f} ms per cell")
    for name, n_cells, per_process in (
        ("a process per cell", few, 1),
        ("processes that stay", given.cells, crew.CELLS_PER_PROCESS),
    ):
        seconds = launched(n_cells, given.workers, per_process)
        each = 1e3 * seconds / n_cells
        print(
            f"{name}: {n_cells} empty cells, {given.workers} workers: {seconds:.2f} s, "
            f"{each:.1f} ms per cell, {given.workers * each:.1f} ms of a worker"
        )


if __name__ == "__main__":
    main()
