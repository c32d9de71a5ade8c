"""Random numbers of a text: functions of the seed, the number of the text and of the draw.

One text is the same whatever stands beside it in a batch and on whatever device the model runs:
the noise is made on the CPU, in float64. In float32 a uniform number has 24 bits, which cuts off
the tail of the noise and lowers the effective temperature (Zheng et al. 2024, arXiv:2409.02908).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from scaling.draws import random_bits

# Keeps these draws apart from those of training, which are keyed by (seed, pass).
_STREAM = 0x67656E


class Noise:
    """Uniform numbers for texts `first_text` and following."""

    def __init__(self, seed: int, n_texts: int, first_text: int = 0) -> None:
        self.seed = seed
        self._texts = np.arange(first_text, first_text + n_texts)
        self._drawn = 0

    def uniform(self, n: int) -> Tensor:
        """The next `n` numbers of each text, float64 [B, n] in [0, 1)."""
        # Texts lie 2^32 draws apart.
        counters = (self._texts[:, None] << 32) + np.arange(self._drawn, self._drawn + n)
        self._drawn += n
        bits = random_bits(counters, self.seed, _STREAM)
        return torch.from_numpy((bits >> np.uint64(11)) * 2.0**-53)

    def orders(self, chosen_BT: Tensor) -> Tensor:
        """The chosen positions of each text in a random order, then all others, int64 [B, T]."""
        keys_BT = self.uniform(chosen_BT.shape[1])
        return keys_BT.masked_fill(~chosen_BT, 2.0).argsort(dim=1)
