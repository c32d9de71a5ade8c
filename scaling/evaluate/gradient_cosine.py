"""The cosine of the gradients of two losses: do they pull the shared weights the same way?

At 1 a loss adds nothing to the other, around 0 they do not meet, below 0 each undoes the other
(Yu et al. 2020, arXiv:2001.06782, section 2.2). High-dimensional gradients that have nothing to
do with each other have a cosine near 0, so the spread over batches is part of the answer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from scaling.models import LanguageModel
from scaling.objectives import Batch, Objective

ALL = "all"


def gradient_cosines(
    model: LanguageModel, objective: Objective, batches: Sequence[Batch], one: str, other: str
) -> dict[str, dict[str, float]]:
    """Cosine of the gradients of the mean losses of two terms, by group of parameters.

    Args:
        one, other: terms of the objective, both measured on each batch.
    Returns:
        group -> `cosine`, the mean over batches, its `standard_error` and the
        `standard_deviation` over batches, and `norm_ratio`, the geometric mean of
        |gradient of other| / |gradient of one|. Groups that one of the losses leaves alone are
        absent; `all` is over all parameters that both reach.
    """
    found: dict[str, list[tuple[float, float]]] = {}
    for batch in batches:
        first, second = (_gradients(model, objective, batch, term) for term in (one, other))
        products: dict[str, np.ndarray] = {}
        for name in first.keys() & second.keys():
            a, b = first[name].double(), second[name].double()
            sums = np.array([float((a * b).sum()), float((a * a).sum()), float((b * b).sum())])
            for group in (name.partition(".")[0], ALL):
                products[group] = products.get(group, np.zeros(3)) + sums
        for group, (dot, of_one, of_other) in products.items():
            if of_one > 0 and of_other > 0:
                pair = dot / math.sqrt(of_one * of_other), 0.5 * math.log(of_other / of_one)
                found.setdefault(group, []).append(pair)
    return {group: _summary(np.array(pairs)) for group, pairs in sorted(found.items())}


def _summary(pairs_M2: np.ndarray) -> dict[str, float]:
    cosines, log_ratios = pairs_M2.T
    spread = float(cosines.std(ddof=1)) if len(cosines) > 1 else 0.0
    return {
        "cosine": float(cosines.mean()),
        "standard_deviation": spread,
        "standard_error": spread / math.sqrt(len(cosines)),
        "norm_ratio": math.exp(float(log_ratios.mean())),
        "batches": len(cosines),
    }


def _gradients(
    model: LanguageModel, objective: Objective, batch: Batch, term: str
) -> dict[str, Tensor]:
    model.zero_grad(set_to_none=True)
    with torch.enable_grad():
        loss = objective.nll(model, batch)[term]
        torch.autograd.backward(loss.nats / max(loss.targets, 1))
    gradients = {
        name: parameter.grad.detach().clone()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }
    model.zero_grad(set_to_none=True)
    return gradients
