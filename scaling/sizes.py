"""The size ladder, one for every architecture.

A rung is named after the parameters of its blocks, 12 x n_layer x d_model^2 without biases and
norms (Kaplan et al. 2020, arXiv:2001.08361, section 2.1). The upper rungs are the published
shapes of GPT-2 and BERT; the lower ones keep heads of 16 to 64 channels.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Size:
    """A shape: layers, width and heads; the feed-forward is four times as wide."""

    n_layer: int
    d_model: int
    n_head: int

    @property
    def d_ff(self) -> int:
        return 4 * self.d_model

    @property
    def block_params(self) -> int:
        """Weights of the blocks' matrices, the number that names the rung."""
        return 12 * self.n_layer * self.d_model**2


SIZES: dict[str, Size] = {
    "6k": Size(n_layer=2, d_model=16, n_head=1),
    "14k": Size(n_layer=2, d_model=24, n_head=1),
    "25k": Size(n_layer=2, d_model=32, n_head=2),
    "55k": Size(n_layer=2, d_model=48, n_head=3),
    "98k": Size(n_layer=2, d_model=64, n_head=4),
    "147k": Size(n_layer=3, d_model=64, n_head=4),
    "230k": Size(n_layer=3, d_model=80, n_head=5),
    "442k": Size(n_layer=4, d_model=96, n_head=6),
    "786k": Size(n_layer=4, d_model=128, n_head=4),
    "1.5M": Size(n_layer=5, d_model=160, n_head=5),
    "3.1M": Size(n_layer=4, d_model=256, n_head=4),
    "7.4M": Size(n_layer=6, d_model=320, n_head=5),
    "19M": Size(n_layer=6, d_model=512, n_head=8),
    "39M": Size(n_layer=8, d_model=640, n_head=10),
    "85M": Size(n_layer=12, d_model=768, n_head=12),
    "302M": Size(n_layer=24, d_model=1024, n_head=16),
}
