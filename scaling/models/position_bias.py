"""A learned bias on the attention scores for each distance between query and key.

Source: Raffel et al. 2020, arXiv:1910.10683, section 2.1: one number per head and distance, shared
by all layers. Each distance has a number of its own here, since sequences are short.

With learned positions alone a model has to find out, position by position, which of them are
neighbours, before it can use any of its context. A causal model lives on the token it reads
meanwhile; a masked one knows nothing but frequencies until then. docs/decisions/plateau.md has
the measurements.
"""

# Tensor axes: H heads, Q queries, T keys.

from __future__ import annotations

import torch
from torch import Tensor, nn

# AdamW moves each number by about the learning rate per step, and a score has to move by several
# units before attention looks at one neighbour alone.
_SCORE_PER_UNIT = 8.0


class RelativePositionBias(nn.Module):
    """One number per head and distance, 0 at the start; a vector, so that it does not decay."""

    def __init__(self, n_head: int, seq_len: int) -> None:
        super().__init__()
        self.n_head, self.seq_len = n_head, seq_len
        self.weight = nn.Parameter(torch.empty(n_head * (2 * seq_len - 1)))

    def forward(self, first_query: int, n_queries: int, n_keys: int) -> Tensor:
        """What is added to the scores: [H, Q, T], of queries from `first_query` on."""
        queries = torch.arange(first_query, first_query + n_queries, device=self.weight.device)
        keys = torch.arange(n_keys, device=self.weight.device)
        distance_QT = keys - queries[:, None] + self.seq_len - 1
        bias_HQT: Tensor = self.weight.view(self.n_head, -1)[:, distance_QT] * _SCORE_PER_UNIT
        return bias_HQT
