"""FLOPs of a run of given size and tokens, in the convention of a table's own column of C."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from analysis.table import Table

Floats = NDArray[np.float64]

# C that follows 6ND this closely is 6ND.
_SAME = 0.01


def per_token_by_size(table: Table) -> tuple[Floats, Floats] | None:
    """log N and the log FLOPs per token there [sizes]; None where the table's C is 6ND."""
    n, d, c = (table.values(role) for role in ("n", "d", "c"))
    per_token = np.log(c / d)
    if np.abs(per_token - np.log(6 * n)).max() <= _SAME:
        return None
    sizes, index, counts = np.unique(n, return_inverse=True, return_counts=True)
    return np.log(sizes), np.bincount(index, weights=per_token) / counts


def flops_rule(table: Table) -> Callable[[Floats, Floats], Floats] | None:
    """FLOPs of (N, D), or None where the table's C is 6ND.

    FLOPs per token are read off the table per size, interpolated over log N, and continued with
    the slope of the outermost two sizes.
    """
    read = per_token_by_size(table)
    if read is None:
        return None
    log_n, at_size = read

    def train_flops(params: Floats, tokens: Floats) -> Floats:
        x = np.log(params)
        if len(log_n) == 1:
            return np.asarray(np.exp(at_size[0] + x - log_n[0]) * tokens)
        y = np.interp(x, log_n, at_size)
        slopes = np.diff(at_size) / np.diff(log_n)
        y += slopes[0] * np.minimum(x - log_n[0], 0) + slopes[-1] * np.maximum(x - log_n[-1], 0)
        return np.asarray(np.exp(y) * tokens)

    return train_flops
