"""A planted sweep of 1,000 runs: what the report's size and its time to open are measured with."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.planted_sweep import write_sweep

SIZES = {f"{width}w": (2 + width // 64, width) for width in range(32, 192, 16)}
READINGS = tuple(float(x) for x in np.linspace(0.04, 1.0, 25))
BUDGETS = tuple(float(x) for x in np.geomspace(2e12, 2e15, 10))


def write_large_sweep(root: Path) -> Path:
    """2 arms x 10 sizes x 10 budgets x 5 seeds, 25 readings each; returns the sweep's folder."""
    return write_sweep(root, "large", sizes=SIZES, budgets=BUDGETS, seeds=5, readings=READINGS)
