"""How many processes share the cores, from what was measured of this machine."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scaling import machine
from scaling.bench.cache import FILE, read

# One process per core starts more cells at a time, and is what forecasts were made for: another
# way has to be faster by more than such a measurement scatters.
_AT_LEAST = 1.1


def measured_workers(cache: Path, tokens_by_width: Mapping[int, int]) -> int | None:
    """Processes at a time for so many tokens of each d_model; None where nothing speaks for any.

    That is so before `scaling bench`, on GPUs, and where the user has chosen the threads.

    Args:
        cache: the folder `cache` of a store.
    """
    if not (cache / FILE).exists() or machine.chosen_threads() or not tokens_by_width:
        return None  # the machine's name would cost the import of torch
    from scaling.bench.measure import machine_key

    found = read(cache, machine_key())
    if found is None or machine.gpus():
        return None
    return fastest(found.get("layouts", []), tokens_by_width)


def fastest(layouts: list[dict[str, Any]], tokens_by_width: Mapping[int, int]) -> int | None:
    """The number of processes of the layout that is done first, where it is so by a margin.

    Args:
        layouts: as `scaling.bench.measure.measure_layouts` gives them.
    """
    speeds: dict[int, dict[int, float]] = {}
    for row in layouts:
        speeds.setdefault(row["processes"], {})[row["d_model"]] = row["tokens_per_second"]
    if not speeds:
        return None
    seconds = {
        processes: sum(tokens / _nearest(speed, d) for d, tokens in tokens_by_width.items())
        for processes, speed in speeds.items()
    }
    usual, best = max(seconds), min(seconds, key=lambda processes: seconds[processes])
    return best if seconds[usual] > _AT_LEAST * seconds[best] else usual


def _nearest(speed_by_width: Mapping[int, float], d_model: int) -> float:
    """The speed at the measured width that is nearest in proportion."""
    return speed_by_width[min(speed_by_width, key=lambda d: abs(math.log(d / d_model)))]
