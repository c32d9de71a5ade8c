"""The law that a token is drawn from: temperature, top-k and top-p over a model's logits.

Temperature 0 is the most likely token ("greedy"). Top-k: Fan et al. 2018, arXiv:1805.04833,
section 5.2. Top-p, or nucleus: Holtzman et al. 2020, arXiv:1904.09751, section 3.1.
"""

# Tensor axes: M places, V vocabulary.

from __future__ import annotations

import torch
from torch import Tensor


def law(
    logits_MV: Tensor,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Tensor:
    """Probabilities, float64 [M, V]; the cuts come after the temperature, top-k first.

    Of equally likely tokens at a cut the one of the lower id stays.
    """
    logits_MV = logits_MV.double()
    if temperature == 0:
        return _one_hot(logits_MV)
    probs_MV = torch.softmax(logits_MV / temperature, dim=-1)
    if top_k is None and top_p is None:
        return probs_MV
    sorted_MV, order_MV = probs_MV.sort(dim=-1, descending=True, stable=True)
    if top_k is not None:
        sorted_MV[:, top_k:] = 0.0
    if top_p is not None:
        share_MV = sorted_MV / sorted_MV.sum(dim=-1, keepdim=True)
        # A token stays if those before it do not reach top_p yet; the first one always does.
        before_MV = share_MV.cumsum(dim=-1) - share_MV
        sorted_MV = sorted_MV.masked_fill(before_MV >= top_p, 0.0)
    kept_MV = torch.zeros_like(probs_MV).scatter(-1, order_MV, sorted_MV)
    return kept_MV / kept_MV.sum(dim=-1, keepdim=True)


def draw(probs_MV: Tensor, uniform_M: Tensor) -> Tensor:
    """Ids [M] by inversion: the first one at which the cumulated probability passes `uniform`."""
    cumulated_MV = probs_MV.cumsum(dim=-1)
    target_M1 = uniform_M[:, None] * cumulated_MV[:, -1:]
    ids_M = torch.searchsorted(cumulated_MV, target_M1, right=True)[:, 0]
    # Rounding may put the target on the total itself.
    last_M = probs_MV.shape[-1] - 1 - (probs_MV > 0).flip(-1).int().argmax(dim=-1)
    return torch.minimum(ids_M, last_M)


def _one_hot(logits_MV: Tensor) -> Tensor:
    best_M1 = logits_MV.argmax(dim=-1, keepdim=True)
    return torch.zeros_like(logits_MV).scatter(-1, best_M1, 1.0)
