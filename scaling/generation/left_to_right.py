"""Left to right: the first blank is drawn while those after it stay hidden, one pass per token.

The way a masked model is made to write like a causal one. Each conditional is one of the model's
own, so the text has an exact probability, that of the left-to-right chain; but a model trained at
15 % has rarely seen so many hidden tokens.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from scaling.generation.reader import blanks
from scaling.generation.sampler import Sampler, Task


def steps(task: Task, ids_BT: Tensor) -> Iterator[Tensor]:
    task.trace.log_prob_B = torch.zeros(len(ids_BT), dtype=torch.float64)
    task.trace.given_order = True
    hidden_BT = blanks(ids_BT)
    for position in hidden_BT.any(dim=0).nonzero()[:, 0].tolist():
        place_BT = torch.zeros_like(hidden_BT)
        place_BT[:, position] = hidden_BT[:, position]
        ids_BT = task.fill(ids_BT, place_BT)
        yield ids_BT


LEFT_TO_RIGHT = Sampler(
    steps=steps, predicts_next=False, summary="fills from left to right, one pass per token"
)
