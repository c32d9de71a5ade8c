"""Keys and values of what a causal model has read, so that no position is computed twice.

What a causal model computes at a position depends on the positions before it alone, so a text that
grows by one token costs one position, not all of them again. A bidirectional model has no such
cache: each new token changes every position.
"""

# Tensor axes: B batch, T positions, H heads, K head width.

from __future__ import annotations

import torch
from torch import Tensor


class LayerCache:
    """Keys and values of one layer, in memory for `longest` positions from the start on."""

    def __init__(self, longest: int) -> None:
        self.longest, self.n_positions = longest, 0
        self._keys: Tensor | None = None
        self._values: Tensor | None = None

    def append(self, k_BHTK: Tensor, v_BHTK: Tensor) -> tuple[Tensor, Tensor]:
        """Takes in new positions; returns the keys and values of all of them so far."""
        B, H, T, K = k_BHTK.shape
        if self._keys is None or self._values is None:
            self._keys = k_BHTK.new_empty((B, H, self.longest, K))
            self._values = v_BHTK.new_empty((B, H, self.longest, K))
        first, self.n_positions = self.n_positions, self.n_positions + T
        self._keys[:, :, first : self.n_positions] = k_BHTK
        self._values[:, :, first : self.n_positions] = v_BHTK
        return self._keys[:, :, : self.n_positions], self._values[:, :, : self.n_positions]

    def repeated(self, times: int) -> LayerCache:
        """Each row `times` times, one after another, in memory of its own."""
        copy = LayerCache(self.longest)
        copy.n_positions = self.n_positions
        if self._keys is not None and self._values is not None:
            copy._keys = self._keys.repeat_interleave(times, dim=0)
            copy._values = self._values.repeat_interleave(times, dim=0)
        return copy


class KeyValueCache:
    """The caches of all layers of one model; made by `LanguageModel.new_cache`."""

    def __init__(self, n_layer: int, longest: int) -> None:
        self.layers = [LayerCache(longest) for _ in range(n_layer)]

    @property
    def n_positions(self) -> int:
        """Positions that the model has read."""
        return self.layers[0].n_positions

    def repeated(self, times: int) -> KeyValueCache:
        """Each row `times` times: what has been read is read once for all that follows it."""
        copy = KeyValueCache(0, 0)
        copy.layers = [layer.repeated(times) for layer in self.layers]
        return copy


def extension_bias(
    n_past: int,
    n_new: int,
    *,
    position_HTT: Tensor | None,
    is_prefix: bool,
    like: Tensor,
) -> Tensor | None:
    """[1 or H, n_new, n_past + n_new]: minus infinity where a new position would look ahead.

    Elsewhere what the distance adds, or 0. None where nothing is added at all.

    Args:
        is_prefix: the new positions see each other.
    """
    looks_ahead = n_new > 1 and not is_prefix
    bias_HTT = None if position_HTT is None else position_HTT.to(like.dtype)
    if not looks_ahead:
        return bias_HTT
    shape = (1, n_new, n_past + n_new)
    mask_HTT = torch.full(shape, -torch.inf, dtype=like.dtype, device=like.device).triu(n_past + 1)
    return mask_HTT if bias_HTT is None else mask_HTT + bias_HTT
