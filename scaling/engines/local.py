"""The engine of one machine: as many cells at a time as it has seats, the longest chain first."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing.connection import wait
from pathlib import Path
from types import FrameType, MappingProxyType

from scaling import interruption, machine
from scaling.engines import Display, check_options
from scaling.engines.cell_process import fork_server
from scaling.engines.child import RunCell, Seat
from scaling.engines.crew import Crew, make_crew
from scaling.engines.room import GPU_PROCESS_BYTES
from scaling.engines.seats import Inventory, count_seats, make_seats, take_inventory
from scaling.errors import EngineError
from scaling.jobs import Job, Queue
from scaling.store import Store

_LOOK_SECONDS = 0.5
# How often the states of cells that other launchers work on are read.
_REFRESH_SECONDS = 2.0


def default_workers() -> int:
    return count_seats(take_inventory())


def seats(workers: int) -> list[Seat]:
    """What each of `workers` processes may use of this machine."""
    return make_seats(take_inventory(), workers)


def prepare(workers: int | None) -> None:
    """Starts the server of the processes, which imports what they need while the sweep is read."""
    # Without a look at the GPUs, which takes torch: each process is given its own number later.
    cores = machine.physical_cores()
    # Whatever is wrong here is said where the processes are needed.
    with contextlib.suppress(OSError):
        fork_server(machine.chosen_threads() or max(1, cores // (workers or cores)))


def run_jobs(
    root: Path,
    jobs: Sequence[Job],
    *,
    workers: int | None,
    display: Display,
    options: Mapping[str, str] = MappingProxyType({}),
    run_cell: RunCell | None = None,
) -> None:
    """Trains all jobs that have not ended, and waits for those that other launchers train.

    Args:
        options: `cells_per_gpu`: cells that may share a GPU, as far as its memory goes.
        run_cell: instead of `scaling.worker.run_cell`, to measure what launching costs.
    Raises: see `scaling.engines.Engine`.
    """
    inventory = take_inventory()
    asked = _asked_workers(inventory, jobs, options)
    table = make_seats(inventory, workers or asked)
    queue = Queue(jobs, Store(root))
    crew = make_crew(root, table, run_cell)
    with stopped_by_signals():
        try:
            _loop(queue, crew, display)
        finally:
            crew.stop()
            queue.here.clear()


def _asked_workers(inventory: Inventory, jobs: Sequence[Job], options: Mapping[str, str]) -> int:
    """Raises EngineError for an option that is none."""
    check_options("local", options, ("cells_per_gpu",))
    asked = options.get("cells_per_gpu", "1")
    if not asked.isdecimal() or not int(asked):
        raise EngineError(
            f"cells_per_gpu={asked!r} is no positive whole number; write "
            "--engine-option cells_per_gpu=4"
        )
    needs = [job.memory_bytes + GPU_PROCESS_BYTES for job in jobs]
    return count_seats(inventory, cells_per_gpu=int(asked), needs_bytes=needs)


def _loop(queue: Queue, crew: Crew, display: Display) -> None:
    refreshed = time.monotonic()
    while queue.unfinished:
        interruption.check()
        crew.fill(queue)
        running = crew.running
        display.update(queue, running)
        if running:
            processes = [cell.process.sentinel for cell in running]
            wait([*processes, *(cell.connection for cell in running)], timeout=_LOOK_SECONDS)
        else:
            time.sleep(_LOOK_SECONDS)
        crew.reap(queue)
        if time.monotonic() - refreshed > _REFRESH_SECONDS:
            before = time.monotonic()
            queue.refresh()
            # On a slow file system, looking must not become what this process does.
            refreshed = time.monotonic() + 20 * (time.monotonic() - before)
    display.update(queue, crew.running)


@contextlib.contextmanager
def stopped_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end the launch as Ctrl-C does."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt(signal.Signals(number).name)

    wanted = (signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, stop) for number in wanted}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
