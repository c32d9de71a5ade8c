"""What generated text costs: forward passes, positions, exact FLOPs."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from scaling.accounting import forward_flops
from scaling.spec import RunSpec


@dataclass(kw_only=True, slots=True)
class Cost:
    """Counts over all texts of a batch; each text's pass counts as one.

    Attributes:
        forward_passes: of one sequence through the model, or of what follows a cache.
        positions: that went through the blocks.
        score_pairs: of a query and a key in one layer.
        head_positions: on which logits were computed.
    """

    forward_passes: int = 0
    positions: int = 0
    score_pairs: int = 0
    head_positions: int = 0

    def add(self, *, rows: int, n_new: int, n_past: int, head_positions: int) -> None:
        """A pass of `rows` sequences of `n_new` positions after `n_past` in the cache."""
        self.forward_passes += rows
        self.positions += rows * n_new
        self.score_pairs += rows * n_new * (n_past + n_new)
        self.head_positions += head_positions

    def __iadd__(self, other: Cost) -> Cost:
        for count in dataclasses.fields(self):
            total = getattr(self, count.name) + getattr(other, count.name)
            setattr(self, count.name, total)
        return self

    def flops(self, spec: RunSpec) -> int:
        """Matrix-product FLOPs, counted as those of training are."""
        return forward_flops(
            spec,
            positions=self.positions,
            score_pairs=self.score_pairs,
            head_positions=self.head_positions,
        )
