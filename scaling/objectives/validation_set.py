"""The fixed validation set in blocks of windows, each with draws of its own.

Whatever is drawn for a block (masks, shares, prefixes) depends on its place in the set alone, so
all runs on one text and length are measured on the same targets.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from scaling.batches import validation_windows
from scaling.spec import RunSpec
from scaling.text import Text

BLOCK_ROWS = 16

# A number in [0, 1) for each row, asked for in the order of the rows.
ShareOf = Callable[[int], float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """Windows [B, T] that share their draws, however many are measured at a time.

    Attributes:
        first: place of the first one among all `n_sequences` windows.
    """

    ids_BT: np.ndarray
    first: int
    n_sequences: int

    def spread_shares(self, rng: np.random.Generator) -> ShareOf:
        """Shares that are stratified over the whole set, each drawn when its row asks.

        Each sequence of the set takes one of as many equal slices of [0, 1), in an order that
        spreads them over the text.
        """
        return lambda row: (
            (spread(self.first + row, self.n_sequences) + rng.random()) / self.n_sequences
        )


def validation_blocks(text: Text, spec: RunSpec, n_sequences: int) -> list[Block]:
    """The windows of the validation set, as many as it has up to `n_sequences`."""
    ids_BT = validation_windows(text.validation, seq_len=spec.seq_len, n_sequences=n_sequences)
    return [
        Block(ids_BT=ids_BT[first : first + BLOCK_ROWS], first=first, n_sequences=len(ids_BT))
        for first in range(0, len(ids_BT), BLOCK_ROWS)
    ]


def stratified_shares(n_rows: int, rng: np.random.Generator) -> np.ndarray:
    """One share in [0, 1) per row of a training batch, all with the same offset in their slices.

    Source: Kingma et al. 2021, arXiv:2107.00630, appendix I.1.
    """
    shares: np.ndarray = (np.arange(n_rows) + rng.random()) / n_rows
    return shares


def spread(index: int, count: int) -> int:
    """A fixed permutation of range(count) that puts neighbours far apart (golden ratio)."""
    stride = max(1, round(count * (math.sqrt(5) - 1) / 2))
    while math.gcd(stride, count) != 1:
        stride += 1
    return index * stride % count
