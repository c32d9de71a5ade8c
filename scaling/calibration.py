"""How fast this machine trains: real steps of some of a sweep's shapes, measured once.

The measurement is `scaling.train.run` itself, in a child of the local engine, with as many at a
time as the sweep will have workers: what they take from each other is in the number.
"""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from scaling import machine
from scaling.engines import child
from scaling.engines.cell_process import fork_server
from scaling.engines.child import Seat
from scaling.engines.local import seats
from scaling.files import write_atomic
from scaling.resolve import counts
from scaling.spec import RunSpec
from scaling.store import Store

SECONDS = 5.0
# Below this a measurement sees little but the first steps.
_LEAST_SECONDS = 1.5
_START_SECONDS = 60.0


class Speed:
    """FLOPs per second by shape; between two measured shapes it goes by their FLOPs per token."""

    def __init__(self, measured: dict[str, float], shapes: dict[str, RunSpec]) -> None:
        self._points: dict[str, list[tuple[float, float]]] = {}
        for key, spec in shapes.items():
            if key in measured:
                point = (math.log(counts(spec)[1]), math.log(measured[key]))
                self._points.setdefault(_arm(spec), []).append(point)
        for points in self._points.values():
            points.sort()

    def train_seconds(self, spec: RunSpec, tokens: int) -> float | None:
        """Time of `tokens` of training on one worker; None where nothing was measured."""
        points = self._points.get(_arm(spec))
        if not points:
            return None
        per_token = counts(spec)[1]
        return tokens * per_token / math.exp(_between(math.log(per_token), points))


def calibrate(
    store: Store,
    specs: Iterable[RunSpec],
    workers: int,
    *,
    say: Callable[[str], None] = lambda line: None,
) -> Speed:
    """Measures the smallest and the largest shape of each arm, or reads what was measured before.

    Args:
        say: told what is being measured, and for how long, before each measurement.
    Raises:
        OSError: the cache cannot be written.
    """
    shapes = {_key(spec): spec for spec in extremes(specs)}
    path = store.cache / "calibration.json"
    known = _read(path)
    measured = known.setdefault(_machine_key(workers), {})
    missing = [spec for key, spec in shapes.items() if key not in measured]
    if missing:
        rounds = math.ceil(len(missing) / workers)
        seconds = max(_LEAST_SECONDS, SECONDS / rounds)
        for first in range(0, len(missing), workers):
            batch = missing[first : first + workers]
            say(
                f"measuring this machine, {first + len(batch)} of {len(missing)} shapes, "
                f"{seconds:.1f} s each and some seconds to start; it is kept in {path}"
            )
            for spec, speed in zip(batch, _measure(store, batch, seconds, workers), strict=True):
                if speed is not None:
                    measured[_key(spec)] = speed
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, json.dumps(known, indent=1) + "\n")
    return Speed(measured, shapes)


def cached(store: Store, specs: Iterable[RunSpec], workers: int) -> Speed | None:
    """What was measured of these shapes before; None where nothing was. Measures nothing."""
    measured = _read(store.cache / "calibration.json")
    if not measured:
        return None  # the machine's name would cost the import of torch
    shapes = {_key(spec): spec for spec in extremes(specs)}
    return Speed(measured.get(_machine_key(workers), {}), shapes)


def extremes(specs: Iterable[RunSpec]) -> list[RunSpec]:
    """The run with the fewest and the one with the most FLOPs per token of each arm."""
    arms: dict[str, list[RunSpec]] = {}
    for spec in specs:
        arms.setdefault(_arm(spec), []).append(spec)
    found = []
    for arm in arms.values():
        found += [min(arm, key=lambda s: counts(s)[1]), max(arm, key=lambda s: counts(s)[1])]
    return found


def _measure(
    store: Store, specs: Sequence[RunSpec], seconds: float, workers: int
) -> list[float | None]:
    """FLOPs per second of each, all at the same time."""
    table = seats(workers)
    context = fork_server(table[0].threads)
    started = []
    for spec, seat in zip(specs, table, strict=False):
        ours, theirs = context.Pipe(duplex=False)
        arguments = (theirs, store.root.absolute(), spec, seat, seconds)
        process = context.Process(target=_train_for_a_while, args=arguments, daemon=True)
        process.start()
        theirs.close()
        started.append((process, ours))
    speeds: list[float | None] = []
    for process, connection in started:
        try:
            found = connection.poll(_START_SECONDS + seconds) and connection.recv()
        except EOFError:
            found = None
        speeds.append(found or None)
        process.terminate()
        process.join()
    return speeds


class _EnoughError(Exception):
    """Stops the training whose speed is known."""


def _train_for_a_while(
    connection: Connection, root: Path, spec: RunSpec, seat: Seat, seconds: float
) -> None:
    child.prepare(seat, root / "cache" / "calibration.txt")
    from scaling.train import run
    from scaling.watch import Progress
    from scaling.worker import read_text

    seen: list[tuple[float, int]] = []

    def on_progress(progress: Progress) -> None:
        seen.append((time.monotonic(), progress.tokens))
        if len(seen) > 2 and seen[-1][0] - seen[0][0] > seconds:
            raise _EnoughError

    with tempfile.TemporaryDirectory() as folder:
        try:
            record = run(
                spec,
                text=read_text(spec, Store(root)),
                folder=Path(folder),
                on_progress=on_progress,
            )
            rate = spec.train_tokens / record.provenance.train_seconds
        except _EnoughError:
            (first_seconds, first_tokens), (last_seconds, last_tokens) = seen[0], seen[-1]
            rate = (last_tokens - first_tokens) / (last_seconds - first_seconds)
    connection.send(rate * counts(spec)[1])


def _between(x: float, points: Sequence[tuple[float, float]]) -> float:
    """Linear between points sorted by x, constant outside."""
    (low_x, low_y), (high_x, high_y) = points[0], points[-1]
    if high_x == low_x:
        return high_y
    share = min(1.0, max(0.0, (x - low_x) / (high_x - low_x)))
    return low_y + share * (high_y - low_y)


def _arm(spec: RunSpec) -> str:
    return (
        f"{spec.arch} {spec.objective} {spec.precision} T{spec.seq_len} V{spec.vocab_size} "
        f"B{spec.batch_tokens}"
    )


def _key(spec: RunSpec) -> str:
    return f"{_arm(spec)} {spec.n_layer}x{spec.d_model}x{spec.n_head}x{spec.d_ff}"


def _machine_key(workers: int) -> str:
    import torch

    device = torch.cuda.get_device_name() if machine.gpus() else machine.processor()
    return (
        f"{device}, {machine.physical_cores()} cores, {workers} workers, torch {torch.__version__}"
    )


def _read(path: Path) -> dict[str, dict[str, Any]]:
    try:
        known: dict[str, dict[str, Any]] = json.loads(path.read_bytes())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return known
