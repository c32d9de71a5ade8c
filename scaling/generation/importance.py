"""Infilling by a causal model: many tries from the left, one kept by the text on the right.

A model of the next token cannot look at the text after a blank. It can only write blindly and see
afterwards how well that text follows: K candidates are drawn from the left, each is weighted by
the probability that the model gives the text given after the blank, and one is drawn by weight
(sampling-importance-resampling, Rubin 1988, "Using the SIR algorithm to simulate posterior
distributions"). As K grows this is the model's own distribution of the blank given both sides and
its length; how far K is from that, the effective number of candidates tells: near 1, all weight
lies on one try. Special tokens have no probability and weigh nothing.
"""

# Tensor axes: B texts, G = B x K candidates, T positions, V vocabulary.

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from scaling.generation.ancestral import is_read_after_blank
from scaling.generation.law import draw
from scaling.generation.reader import blanks
from scaling.generation.sampler import Sampler, Task

DEFAULT_CANDIDATES = 16


def steps(task: Task, ids_BT: Tensor) -> Iterator[Tensor]:
    K = task.settings.candidates or DEFAULT_CANDIDATES
    hidden_BT = blanks(ids_BT)
    if not hidden_BT.any():
        return
    ids_GT, log_weight_G = _candidates(task, ids_BT, K)
    log_weight_BK = log_weight_G.view(-1, K)
    weight_BK = torch.softmax(log_weight_BK, dim=1)
    chosen_B = draw(weight_BK, task.noise.uniform(1)[:, 0])
    task.trace.effective_candidates_B = 1 / weight_BK.square().sum(dim=1)
    yield ids_GT.view(len(ids_BT), K, -1)[torch.arange(len(ids_BT)), chosen_B]


def _candidates(task: Task, ids_BT: Tensor, K: int) -> tuple[Tensor, Tensor]:
    """K filled texts for each text [G, T], and the log-probability of what is given after."""
    weighs_BT = is_read_after_blank(ids_BT)
    hidden_BT = blanks(ids_BT)
    first = int(hidden_BT.any(dim=0).int().argmax())
    last = int((hidden_BT | weighs_BT).any(dim=0).nonzero()[-1, 0])
    logits_BV, cache = task.reader.start(ids_BT[:, :first])
    logits_GV, cache = logits_BV.repeat_interleave(K, dim=0), cache.repeated(K)
    ids_GT, hidden_GT, weighs_GT = (
        x_BT.repeat_interleave(K, dim=0) for x_BT in (ids_BT, hidden_BT, weighs_BT)
    )
    log_weight_G = torch.zeros(len(ids_GT), dtype=torch.float64)
    for position in range(first, last + 1):
        drawn_G = draw(task.law(logits_GV), task.noise.uniform(K).reshape(-1))
        ids_GT[:, position] = torch.where(hidden_GT[:, position], drawn_G, ids_GT[:, position])
        # By the model's own law: what is given was not drawn at the temperature of the blank.
        given_G1 = ids_GT[:, position : position + 1]
        nats_G = torch.log_softmax(logits_GV, dim=-1).gather(-1, given_G1)[:, 0]
        log_weight_G += torch.where(weighs_GT[:, position], nats_G, 0.0)
        if position < last:
            logits_GV = task.reader.extend(ids_GT[:, position], cache)
    return ids_GT, log_weight_G


IMPORTANCE = Sampler(
    steps=steps,
    predicts_next=True,
    options=frozenset({"candidates"}),
    summary="infilling: `candidates` tries from the left "
    f"(default {DEFAULT_CANDIDATES}), one kept by the text after the blank",
)
