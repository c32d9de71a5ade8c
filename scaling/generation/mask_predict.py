"""Mask-predict: all blanks are filled at once; then the least confident ones again, ever fewer.

Source: Ghazvininejad et al. 2019, arXiv:1904.09324, section 3: with N tokens and S passes, pass
t = 0 .. S-1 predicts n(t) = floor(N (S - t) / S) tokens, those of the lowest probability so far; a
token keeps the probability that it had when it was predicted. The paper takes the most likely
token, which is temperature 0 here; above 0 tokens are drawn, and the probability by which they
are ranked is the model's own.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from scaling.generation.law import draw
from scaling.generation.reader import blanks
from scaling.generation.sampler import Sampler, Task
from scaling.tokenizer import MASK_ID

DEFAULT_STEPS = 10


def steps(task: Task, ids_BT: Tensor) -> Iterator[Tensor]:
    hidden_BT = blanks(ids_BT)
    n_B = hidden_BT.sum(dim=1)
    n_steps = task.settings.steps or DEFAULT_STEPS
    confidence_BT = torch.zeros(ids_BT.shape, dtype=torch.float64)
    for step in range(n_steps):
        place_BT = _least_confident(confidence_BT, hidden_BT, predicted(n_B, step, n_steps))
        if not place_BT.any():
            break
        logits_MV = task.reader.logits(ids_BT.masked_fill(place_BT, MASK_ID), place_BT)
        uniform_BT = task.noise.uniform(ids_BT.shape[1])
        drawn_M = draw(task.law(logits_MV), uniform_BT[place_BT])
        before_BT, ids_BT = ids_BT, ids_BT.clone()
        ids_BT[place_BT] = drawn_M
        own_MV = torch.softmax(logits_MV, dim=-1)
        confidence_BT[place_BT] = own_MV.gather(-1, drawn_M[:, None])[:, 0]
        if step:
            task.trace.proposals += int(place_BT.sum())
            task.trace.accepted += int(place_BT.sum())
            task.trace.moves += int((ids_BT != before_BT).sum())
        yield ids_BT


def predicted(n_B: Tensor, step: int, n_steps: int) -> Tensor:
    """Tokens that pass `step` (from 0) of `n_steps` predicts, of `n_B`."""
    return n_B * (n_steps - step) // n_steps


def _least_confident(confidence_BT: Tensor, places_BT: Tensor, n_B: Tensor) -> Tensor:
    """The `n_B` places of the lowest confidence; of equal ones, those further left."""
    keys_BT = confidence_BT.masked_fill(~places_BT, torch.inf)
    rank_BT = keys_BT.argsort(dim=1, stable=True).argsort(dim=1)
    return places_BT & (rank_BT < n_B[:, None])


MASK_PREDICT = Sampler(
    steps=steps,
    predicts_next=False,
    options=frozenset({"steps"}),
    summary=f"fills all at once, then the least confident again; `steps` (default {DEFAULT_STEPS})",
)
