"""What a cell asks of a Ray cluster, and how many cells find room on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from scaling.engines import check_options
from scaling.errors import EngineError
from scaling.jobs import Job

OPTIONS = ("address", "cpus_per_cell", "gpus_per_cell")

# Ray counts in units of a ten-thousandth.
_ROUNDING = 1e-6

Resources = Mapping[str, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What each device of a cell asks for.

    Attributes:
        gpus: 0 trains on processors; below 1, cells of one device share a GPU.
    """

    cpus: float
    gpus: float

    def of(self, devices: int) -> dict[str, float]:
        """The arguments of a Ray actor that trains a cell on `devices`.

        One actor is placed on one node or not at all, which is what a gang needs; each of its
        devices is a whole GPU, since two processes of a group cannot share one.
        """
        gpus = self.gpus if devices == 1 else float(devices) * (self.gpus > 0)
        return {"num_cpus": self.cpus * devices, "num_gpus": gpus}

    def cells_on(self, node: Resources, devices: int = 1) -> int:
        """How many cells of `devices` an empty node has room for."""
        wanted = self.of(devices)
        rooms = []
        if wanted["num_cpus"]:
            rooms.append(int(node.get("CPU", 0.0) / wanted["num_cpus"] + _ROUNDING))
        if wanted["num_gpus"] >= 1:
            rooms.append(int(node.get("GPU", 0.0) / wanted["num_gpus"] + _ROUNDING))
        elif wanted["num_gpus"]:
            # A cell never spreads over the rests of two GPUs.
            rooms.append(int(node.get("GPU", 0.0)) * int(1 / wanted["num_gpus"] + _ROUNDING))
        return min(rooms)


def make_request(options: Mapping[str, str], nodes: Iterable[Resources]) -> Request:
    """What was asked for: by default a processor, and a GPU where the cluster has any.

    Raises:
        EngineError: an option that is unknown or out of range.
    """
    check_options("ray", options, OPTIONS)
    has_gpus = any(node.get("GPU") for node in nodes)
    request = Request(
        cpus=_amount(options, "cpus_per_cell", 1.0),
        gpus=_amount(options, "gpus_per_cell", float(has_gpus)),
    )
    if request.gpus > 1:
        raise EngineError(
            f"gpus_per_cell={request.gpus:g} is above 1, the share of one GPU that a cell gets; "
            "a cell on several GPUs is asked for with --devices"
        )
    if not request.cpus and not request.gpus:
        raise EngineError("cpus_per_cell=0 and gpus_per_cell=0: a cell needs one of them")
    return request


def shapes_wanted(
    busy: Sequence[int], startable: Iterable[Job], *, workers: int | None, room: int
) -> Counter[int]:
    """How many workers of each number of devices there should be.

    Args:
        busy: devices of the cells that are being trained.
        startable: jobs that could start, the most urgent first.
        workers: cells at a time; None for as many as there is room for.
        room: devices of the cluster.
    """
    wanted = Counter(busy)
    room -= sum(busy)
    for job in startable:
        # Nothing overtakes a cell that waits for several devices, or they would never be free.
        if room < job.devices or (workers is not None and wanted.total() >= workers):
            break
        wanted[job.devices] += 1
        room -= job.devices
    return wanted


def check_room(request: Request, jobs: Iterable[Job], nodes: Sequence[Resources]) -> None:
    """Raises EngineError for a job that no node is large enough for."""
    for devices in sorted({job.devices for job in jobs}):
        if any(request.cells_on(node, devices) for node in nodes):
            continue
        asked = request.of(devices)
        most = {name: max((n.get(name, 0.0) for n in nodes), default=0) for name in ("CPU", "GPU")}
        raise EngineError(
            f"a cell on {devices} device{'s' * (devices > 1)} asks one node for "
            f"{asked['num_cpus']:g} CPUs and {asked['num_gpus']:g} GPUs; the nodes of the cluster "
            f"have at most {most['CPU']:g} and {most['GPU']:g}: set cpus_per_cell or "
            "gpus_per_cell, or add a node"
        )


def _amount(options: Mapping[str, str], name: str, default: float) -> float:
    text = options.get(name)
    if text is None:
        return default
    try:
        amount = float(text)
    except ValueError:
        amount = -1.0
    if not 0 <= amount < float("inf"):
        raise EngineError(
            f"{name}={text!r} is no amount; write --engine-option {name}={default or 0.5:g}"
        )
    return amount
