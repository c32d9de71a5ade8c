"""AdamW with the usual groups: matrices and embeddings decay, biases and norms do not.

Source: Loshchilov & Hutter 2019, arXiv:1711.05101; the groups are those of GPT-2 and BERT.
"""

from __future__ import annotations

import torch
from torch import nn

from scaling.spec import RunSpec


def adamw(model: nn.Module, spec: RunSpec) -> torch.optim.AdamW:
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": spec.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        groups, lr=spec.peak_lr, betas=(spec.adam_beta1, spec.adam_beta2), eps=1e-8, fused=True
    )
