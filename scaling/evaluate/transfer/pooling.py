"""Poolers: the vector that stands for a sentence, or for a word, in the head.

A word under a causal mask knows itself at its last position only, so `last` is what both masks
can use; `mean` is over the word's positions. [CLS] is the first position: with a causal mask it
sees nothing but itself and is the same for every sentence, which is why GPT has no such pooler.
"""

# Axes: B batch, T positions, W words, E width.

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from scaling.errors import SweepError
from scaling.evaluate.transfer.task import Inputs

Pooler = Callable[[Tensor, Inputs], Tensor]


def _cls(hidden_BTE: Tensor, inputs: Inputs) -> Tensor:
    return hidden_BTE[:, 0]


def _mean(hidden_BTE: Tensor, inputs: Inputs) -> Tensor:
    weight_BT1 = inputs.valid_BT[..., None].to(hidden_BTE.dtype)
    mean_BE: Tensor = (hidden_BTE * weight_BT1).sum(1) / weight_BT1.sum(1)
    return mean_BE


def _last(hidden_BTE: Tensor, inputs: Inputs) -> Tensor:
    last_B = inputs.valid_BT.sum(1) - 1
    return hidden_BTE[torch.arange(len(last_B), device=last_B.device), last_B]


def _word_last(hidden_BTE: Tensor, inputs: Inputs) -> Tensor:
    return _at(hidden_BTE, inputs.words_BW2[..., 1])


def _word_mean(hidden_BTE: Tensor, inputs: Inputs) -> Tensor:
    first_BW, last_BW = inputs.words_BW2.unbind(-1)
    # Sums up to and including each position; a word's sum is a difference of two.
    sums_BTE = hidden_BTE.cumsum(1)
    before_BWE = _at(sums_BTE, (first_BW - 1).clamp_min(0)) * (first_BW > 0)[..., None]
    n_BW1 = (last_BW - first_BW + 1)[..., None]
    return (_at(sums_BTE, last_BW) - before_BWE) / n_BW1


def _at(hidden_BTE: Tensor, index_BW: Tensor) -> Tensor:
    index_BWE = index_BW[..., None].expand(-1, -1, hidden_BTE.shape[-1])
    return hidden_BTE.gather(1, index_BWE)


SENTENCE_POOLERS: dict[str, Pooler] = {"cls": _cls, "mean": _mean, "last": _last}
WORD_POOLERS: dict[str, Pooler] = {"mean": _word_mean, "last": _word_last}


def pooler_named(name: str, *, reads_words: bool, task: str) -> Pooler:
    """Raises SweepError for a pooler that the kind of task cannot use."""
    known = WORD_POOLERS if reads_words else SENTENCE_POOLERS
    if name not in known:
        raise SweepError(
            f"pooler={name!r} does not serve task={task!r}, which reads words; "
            f"give {' or '.join(known)}"
        )
    return known[name]
