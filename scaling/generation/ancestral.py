"""Ancestral sampling of a causal model: each token from those on its left, with a cache.

One pass of one position per token; the text has an exact probability.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from scaling.generation.law import draw
from scaling.generation.reader import blanks
from scaling.generation.sampler import GenerationError, Sampler, Settings, Task
from scaling.tokenizer import FIRST_TEXT_ID


def steps(task: Task, ids_BT: Tensor) -> Iterator[Tensor]:
    task.trace.log_prob_B = torch.zeros(len(ids_BT), dtype=torch.float64)
    task.trace.given_order = True
    hidden_BT = blanks(ids_BT)
    positions = hidden_BT.any(dim=0).nonzero()[:, 0].tolist()
    if not positions:
        return
    logits_BV, cache = task.reader.start(ids_BT[:, : positions[0]])
    ids_BT = ids_BT.clone()
    for position in range(positions[0], positions[-1] + 1):
        probs_BV = task.law(logits_BV)
        drawn_B = draw(probs_BV, task.noise.uniform(1)[:, 0])
        hidden_B = hidden_BT[:, position]
        ids_BT[:, position] = torch.where(hidden_B, drawn_B, ids_BT[:, position])
        log_prob_B = probs_BV.gather(-1, drawn_B[:, None])[:, 0].log()
        task.trace.log_prob_B += torch.where(hidden_B, log_prob_B, 0.0)
        yield ids_BT.clone()
        if position < positions[-1]:
            logits_BV = task.reader.extend(ids_BT[:, position], cache)


def is_read_after_blank(ids_BT: Tensor) -> Tensor:
    """True where text is given that stands right of a blank."""
    after_BT = blanks(ids_BT).int().cumsum(dim=1) > 0
    return after_BT & (ids_BT >= FIRST_TEXT_ID)


def _check(ids_BT: Tensor, settings: Settings) -> None:
    if is_read_after_blank(ids_BT).any():
        raise GenerationError(
            "text stands right of a blank, where a model of the next token cannot look while it "
            "writes; sampler='importance' weighs many tries by that text, a masked model reads it"
        )


ANCESTRAL = Sampler(
    steps=steps,
    predicts_next=True,
    summary="from left to right with a cache, one position per token",
    check=_check,
)
