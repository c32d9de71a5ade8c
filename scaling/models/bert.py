"""BERT as published: post-LN, segments, pooler, next-sentence head, tied head with transform.

Source: Devlin et al. 2018, arXiv:1810.04805, section 3 and the released code.
"""

# Tensor axes: B batch, T sequence, E width.

from __future__ import annotations

import torch
from torch import Tensor, nn

from scaling.models.layers import Architecture
from scaling.models.transformer import LanguageModel
from scaling.spec import RunSpec

BERT = Architecture(
    norms="after",
    is_causal=False,
    gelu="none",
    norm_eps=1e-12,
    n_segments=2,
    head_transform=True,
)


class Bert(LanguageModel):
    """Adds the two layers over [CLS] that next-sentence prediction trains."""

    def __init__(self, spec: RunSpec, architecture: Architecture = BERT) -> None:
        super().__init__(spec, architecture)
        self.pooler = nn.Linear(spec.d_model, spec.d_model)
        self.pair_head = nn.Linear(spec.d_model, 2)

    def pair_logits(self, hidden_BTE: Tensor) -> Tensor:
        """Logits [B, 2] that the second segment follows the first (class 0) or not (class 1)."""
        pooled_BE = torch.tanh(self.pooler(hidden_BTE[:, 0]))
        logits_B2: Tensor = self.pair_head(pooled_BE)
        return logits_B2
