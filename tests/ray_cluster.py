"""A Ray cluster of several node processes on one machine, in a folder and a session of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

# What Ray needs at least.
OBJECT_STORE_BYTES = 80_000_000


class TestCluster:
    """A head without processors, so that it trains nothing, and nodes of one processor each."""

    __test__ = False  # a helper, whatever its name says

    def __init__(self, nodes: int) -> None:
        from ray._common.utils import get_default_ray_temp_dir
        from ray.cluster_utils import Cluster

        # Ray notes the address of a head there, wherever its own folder is, and makes no folder.
        os.makedirs(get_default_ray_temp_dir(), exist_ok=True)
        # Unix sockets have short names: the folder of a test is too deep.
        self.folder = Path(tempfile.mkdtemp(prefix="ray-"))
        self._cluster = Cluster(
            initialize_head=True,
            head_node_args={
                "num_cpus": 0,
                "include_dashboard": False,
                "object_store_memory": OBJECT_STORE_BYTES,
                "temp_dir": str(self.folder),
            },
        )
        self.nodes = [self.add_node() for _ in range(nodes)]

    @property
    def address(self) -> str:
        return str(self._cluster.address)

    def add_node(self, **resources: Any) -> Any:
        wanted = {"num_cpus": 1, "num_gpus": 0} | resources
        return self._cluster.add_node(object_store_memory=OBJECT_STORE_BYTES, **wanted)

    def kill_node(self, number: int, *, with_cells: bool) -> None:
        """Takes Ray away from a node; with its cells, all that runs there, as a power cut does."""
        (raylet,) = self.nodes[number].all_processes["raylet"]
        mark = f"RAY_RAYLET_PID={raylet.process.pid}".encode()
        victims = [raylet.process.pid]
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                environment = Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
                worker = process.cmdline()[0].startswith("ray::")
                if mark in environment and (worker or with_cells):
                    victims.append(process.pid)
        for pid in victims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def kill_head(self) -> None:
        _kill(self._cluster.head_node, "gcs_server", "raylet")

    def close(self) -> None:
        self._cluster.shutdown()
        shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def ray_cluster(nodes: int = 2) -> Iterator[TestCluster]:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    cluster = TestCluster(nodes)
    try:
        yield cluster
    finally:
        cluster.close()


def _kill(node: Any, *kinds: str) -> None:
    for kind in kinds:
        for started in node.all_processes[kind]:
            os.kill(started.process.pid, signal.SIGKILL)
