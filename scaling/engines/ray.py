"""The engine of a Ray cluster: Ray places workers on nodes, the store says what they have done.

Ray retries nothing and knows no cell. Each slot is an actor that holds the resources of one cell;
this process keeps the queue, hands jobs to free slots and asks them for news. A slot that is lost
with its node leaves a cell that is pending again, by its claim in the store.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import OutOfMemoryError, RayError

from scaling import claims, interruption
from scaling.engines import Display
from scaling.engines.local import stopped_by_signals
from scaling.engines.node_facts import difference, facts, mark_store
from scaling.engines.ray_cluster import Cluster, cannot_start, check_nodes, connected
from scaling.engines.ray_request import Request, check_room, make_request, shapes_wanted
from scaling.engines.ray_slots import RemoteCell, Slot, new_slot
from scaling.errors import EngineError, StoreError
from scaling.jobs import Job, Queue
from scaling.store import Store

_LOOK_SECONDS = 0.5
_REFRESH_SECONDS = 2.0
_STOP_SECONDS = 35.0
# Slots in a row that died before they were open.
_START_ATTEMPTS = 5


def run_jobs(
    root: Path,
    jobs: Sequence[Job],
    *,
    workers: int | None,
    display: Display,
    options: Mapping[str, str],
) -> None:
    """Trains all jobs that have not ended, and waits for those that other launches train.

    Args:
        workers: cells at a time; None for as many as the cluster has room for.
        options: `address`, `cpus_per_cell`, `gpus_per_cell`.
    Raises: see `scaling.engines.Engine`.
    """
    make_request(options, ())  # before anything is started
    root = root.absolute()
    mark_store(root)
    mine = facts(root)
    queue = Queue(jobs, Store(root))
    with connected(options.get("address", "auto")) as cluster, stopped_by_signals():
        resources = [node.resources for node in cluster.nodes]
        request = make_request(options, resources)
        check_room(request, queue.unfinished, resources)
        able = [node for node in cluster.nodes if request.cells_on(node.resources)]
        check_nodes(able, root, mine)
        crew = RayCrew(root, queue, cluster, request, workers, mine)
        try:
            _loop(queue, crew, display)
        finally:
            crew.stop()
            queue.here.clear()


def _loop(queue: Queue, crew: RayCrew, display: Display) -> None:
    refreshed = time.monotonic()
    while queue.unfinished:
        interruption.check()
        crew.fill()
        display.update(queue, crew.running)
        crew.listen()
        if time.monotonic() - refreshed > _REFRESH_SECONDS:
            before = time.monotonic()
            queue.refresh()
            # On a slow file system, looking must not become what this process does.
            refreshed = time.monotonic() + 20 * (time.monotonic() - before)
    display.update(queue, crew.running)


class RayCrew:
    """The slots of a launch."""

    def __init__(
        self,
        root: Path,
        queue: Queue,
        cluster: Cluster,
        request: Request,
        workers: int | None,
        mine: Mapping[str, str],
    ) -> None:
        self._root, self._queue, self._cluster, self._mine = root, queue, cluster, mine
        self._request, self._workers = request, workers
        self._slots: list[Slot] = []
        self._failed_starts = 0

    @property
    def running(self) -> list[RemoteCell]:
        return [slot.cell for slot in self._slots if slot.cell is not None]

    def fill(self) -> None:
        """Gives jobs to the slots that are free, and asks for slots or gives them back.

        Raises:
            EngineError: the cluster is gone.
        """
        self._cluster.check()
        self._resize()
        for job in list(self._queue.waiting()):
            free = [slot for slot in self._slots if slot.is_open and slot.cell is None]
            slot = next((slot for slot in free if slot.devices == job.devices), None)
            if slot is None:
                return
            if self._queue.is_free(job):
                slot.give(job)
                self._queue.here.add(job.run_id)

    def listen(self) -> None:
        """Waits a moment for news, and takes in what has come.

        Raises:
            StoreError: a cell met a trouble that every cell would meet.
            EngineError: a node cannot work with this launch.
        """
        awaited = {slot.reference: slot for slot in self._slots if slot.reference is not None}
        if not awaited:
            time.sleep(_LOOK_SECONDS)
            return
        answered, _ = ray.wait(list(awaited), num_returns=1, timeout=_LOOK_SECONDS)
        if answered:
            answered, _ = ray.wait(list(awaited), num_returns=len(awaited), timeout=0)
        for reference in answered:
            slot = awaited[reference]
            slot.reference = None
            try:
                news = ray.get(reference)
            except RayError as error:
                self._lose(slot, error)
                continue
            if slot.is_open:
                self._take_in(slot, news)
            else:
                self._open(slot, news)

    def stop(self) -> None:
        """Has every cell write its checkpoint and end, and gives the slots back."""
        with contextlib.suppress(RayError):
            # The idle ones too: without its head, Ray takes a minute to end them.
            stopping = [slot.actor.stop.remote() for slot in self._slots if slot.is_open]
            if stopping:
                ray.wait(stopping, num_returns=len(stopping), timeout=_STOP_SECONDS)
        for slot in self._slots:
            self._kill(slot)
        self._slots.clear()

    def _resize(self) -> None:
        room = sum(self._request.cells_on(node.resources) for node in self._cluster.nodes)
        busy = [slot.devices for slot in self._slots if slot.cell]
        left = shapes_wanted(busy, self._queue.waiting(), workers=self._workers, room=room)
        # Those that train come first, then those that could.
        for slot in sorted(self._slots, key=lambda slot: (slot.cell is None, not slot.is_open)):
            if left[slot.devices] > 0 or slot.cell is not None:
                left[slot.devices] -= 1
            else:
                self._drop(slot)
        for devices, number in left.items():
            self._slots += [new_slot(self._root, self._request, devices) for _ in range(number)]

    def _open(self, slot: Slot, theirs: Mapping[str, str]) -> None:
        if line := difference("of a new worker", self._mine, theirs):
            raise EngineError(line)
        slot.is_open = True
        self._failed_starts = 0

    def _take_in(self, slot: Slot, news: Sequence[tuple[str, Any]]) -> None:
        for kind, content in news:
            if kind == "blocked":
                raise StoreError(content)
            if slot.cell is None:
                continue
            if kind == "progress":
                slot.cell.progress = content
                slot.cell.first = slot.cell.first or content
            elif kind == "ended":
                self._end(slot, died=content is None)
        if slot.cell is not None:
            slot.listen()

    def _end(self, slot: Slot, *, died: bool) -> None:
        cell, slot.cell = slot.cell, None
        if cell is None:
            return
        self._queue.here.discard(cell.job.run_id)
        if died:
            self._queue.put_back(cell.job)
        self._queue.refresh(cell.job.run_id)

    def _lose(self, slot: Slot, error: RayError) -> None:
        """A slot whose node died, or that Ray killed: the store tells what becomes of its cell."""
        if not slot.is_open:
            self._failed_starts += 1
            if self._failed_starts >= _START_ATTEMPTS:
                raise EngineError(cannot_start("of a new worker", error))
        elif slot.cell is not None and isinstance(error, OutOfMemoryError):
            # The cell itself was only told to stop: without this it would be tried for ever.
            folder = Store(self._root).folder(slot.cell.job.run_id)
            claims.record_death(folder, 0, "Ray stopped it because the memory of its node was full")
        self._end(slot, died=True)
        self._drop(slot)

    def _drop(self, slot: Slot) -> None:
        self._slots.remove(slot)
        self._kill(slot)

    def _kill(self, slot: Slot) -> None:
        # Ray keeps the resources of an actor until it is told, also of one that it holds for lost.
        with contextlib.suppress(RayError):
            ray.kill(slot.actor)
