"""What was measured of this machine, kept in the store under the machine's name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from scaling.files import write_atomic

SCHEMA_VERSION = 1
FILE = "machines.json"


def read(cache: Path, machine_key: str) -> dict[str, Any] | None:
    """The measurement of that machine; None where there is none that can be read.

    Args:
        cache: the folder `cache` of a store.
    """
    found = _read_all(cache).get(machine_key)
    return found if isinstance(found, dict) else None


def write(cache: Path, content: dict[str, Any]) -> Path:
    """Keeps a measurement beside those of other machines; raises OSError where it cannot be."""
    path = cache / FILE
    cache.mkdir(parents=True, exist_ok=True)
    known = _read_all(cache) | {content["machine"]: content}
    write_atomic(path, json.dumps(known, indent=1) + "\n")
    return path


def peak_flops_per_second(cache: Path, machine_key: str, precision: str) -> float | None:
    """The measured matmul peak of what one run has: a GPU, or a core; None where none was."""
    found = read(cache, machine_key)
    try:
        limits = found["limits"] if found else {}
        device = limits["gpus"][0] if limits["gpus"] else limits["core"]
        peak = device["matmul_flops_per_second"][precision]
    except (KeyError, TypeError, IndexError):
        return None
    return float(peak) if isinstance(peak, int | float) and peak > 0 else None


def _read_all(cache: Path) -> dict[str, Any]:
    try:
        known = json.loads((cache / FILE).read_bytes())
    except (OSError, ValueError):
        return {}
    if not isinstance(known, dict):
        return {}
    return {
        key: value
        for key, value in known.items()
        if isinstance(value, dict) and value.get("schema_version") == SCHEMA_VERSION
    }
