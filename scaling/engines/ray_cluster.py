"""The way to a Ray cluster and back: connecting, watching that it lives, and letting go.

Ray itself waits for a head that is gone: a call for a result never returns, `init` tries for a
quarter of an hour, and after a minute of silence it ends the process without a word. So a thread
asks for the nodes every few seconds, and the launch goes by how old the last answer is.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray._private import services
from ray._private import worker as ray_worker
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from scaling import machine
from scaling.engines.node_facts import difference
from scaling.errors import EngineError

# Cells have half a minute to stop after that, and Ray ends this process after a minute.
SILENCE_SECONDS = 15.0

_ASK_SECONDS = 2.0
_CONNECT_SECONDS = 5.0
_PROBE_SECONDS = 60.0
# Records and progress are small; what is large lies in the store.
_OBJECT_STORE_BYTES = 80_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    node_id: str
    address: str
    resources: dict[str, float]


class Cluster:
    """A cluster that this process is connected to."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._here = ray.get_runtime_context().get_node_id()
        self._nodes = _living_nodes()
        self._answered = time.monotonic()
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._ask, name="ray-nodes", daemon=True)
        self._thread.start()

    @property
    def nodes(self) -> Sequence[Node]:
        """Those that were alive when last asked."""
        return self._nodes

    def check(self) -> None:
        """Raises EngineError when the cluster is gone."""
        if self.is_silent:
            raise EngineError(
                f"the head of the Ray cluster {self.name} has not answered for "
                f"{SILENCE_SECONDS:g} seconds; start it again, and the same command goes on "
                "from the checkpoints"
            )
        if all(node.node_id != self._here for node in self._nodes):
            raise EngineError(
                f"the Ray node of this machine has left the cluster {self.name}; start it again, "
                "and the same command goes on from the checkpoints"
            )

    @property
    def is_silent(self) -> bool:
        return time.monotonic() - self._answered > SILENCE_SECONDS

    def leave(self) -> None:
        """Ends the connection, unless the cluster has."""
        self._left.set()
        self._thread.join(timeout=_ASK_SECONDS)
        if not self._thread.is_alive() and not self.is_silent:
            ray.shutdown()

    def _ask(self) -> None:
        while not self._left.wait(_ASK_SECONDS):
            # Whatever Ray raises: no answer is what counts.
            with contextlib.suppress(Exception):
                self._nodes = _living_nodes()
                self._answered = time.monotonic()


@contextlib.contextmanager
def connected(address: str) -> Iterator[Cluster]:
    """The cluster at HOST:PORT; `auto` is the one of this machine, `local` one for this launch.

    Raises:
        EngineError: there is none.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Its notes speak to people who write Ray programs.
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    arguments: dict[str, Any]
    if address == "local":
        arguments = {
            "address": "local",
            "num_cpus": machine.physical_cores(),
            "include_dashboard": False,
            "object_store_memory": _OBJECT_STORE_BYTES,
        }
    else:
        arguments = {"address": _reachable(address)}
    try:
        ray.init(
            **arguments,
            configure_logging=False,
            logging_level=logging.CRITICAL,
            log_to_driver=False,
            namespace="scaling",
        )
    except Exception as error:
        raise EngineError(f"Ray at {address} cannot be used: {_first_line(error)}") from None
    # When a node dies, Ray prints the last lines of its log; the launch says itself what happens.
    ray_worker.print_worker_logs = lambda *arguments: None
    cluster = Cluster(arguments["address"])
    try:
        yield cluster
    finally:
        cluster.leave()


def check_nodes(nodes: Sequence[Node], root: Path, mine: dict[str, str]) -> None:
    """Raises EngineError for a node that lacks the store, the suite or one of its versions."""

    # Defined in here, so that it travels by value: a node may lack the suite.
    def probe(root: str) -> dict[str, str]:
        from pathlib import Path

        from scaling.engines.node_facts import facts

        return facts(Path(root))

    asked = {}
    for node in nodes:
        there = NodeAffinitySchedulingStrategy(node_id=node.node_id, soft=False)
        task = ray.remote(probe).options(num_cpus=0, max_retries=0, scheduling_strategy=there)
        asked[task.remote(str(root))] = node
    answered, silent = ray.wait(list(asked), num_returns=len(asked), timeout=_PROBE_SECONDS)
    if silent:
        names = ", ".join(asked[reference].address for reference in silent)
        raise EngineError(
            f"Ray started no process on {names} within {_PROBE_SECONDS:g} seconds; "
            "see `ray status` and the logs of those nodes"
        )
    for reference in answered:
        address = asked[reference].address
        try:
            theirs = ray.get(reference)
        except ray.exceptions.RayError as error:
            raise EngineError(cannot_start(address, error)) from None
        if line := difference(address, mine, theirs):
            raise EngineError(line)


def cannot_start(address: str, error: BaseException) -> str:
    """Why a worker did not come up, in one line."""
    cause = getattr(error, "cause", None) or error
    if isinstance(cause, ImportError):
        return (
            f"node {address} cannot import the suite ({cause}); install the same "
            "scaling-suite there, or set the same PYTHONPATH before `ray start`"
        )
    return f"node {address} cannot start a worker: {_first_line(cause)}"


def _living_nodes() -> list[Node]:
    return [
        Node(
            node_id=node["NodeID"],
            address=node["NodeManagerAddress"],
            resources=node["Resources"],
        )
        for node in ray.nodes()
        if node["Alive"]
    ]


def _reachable(address: str) -> str:
    """The address as HOST:PORT, once something listens there."""
    try:
        found: str | None = services.canonicalize_bootstrap_address(address)
        if found is None:
            raise ConnectionError
    except (ConnectionError, ValueError):
        raise EngineError(
            f"no Ray cluster is found at address={address}; start one with `ray start --head`, "
            "name it as HOST:PORT, or take one for this launch with address=local"
        ) from None
    host, _, port = found.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_SECONDS).close()
    except OSError as error:
        raise EngineError(
            f"the Ray cluster at {found} does not answer ({(error.strerror or str(error)).lower()})"
            "; start it with `ray start --head`, or take one for this launch with address=local"
        ) from None
    return found


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:300] if lines else type(error).__name__
