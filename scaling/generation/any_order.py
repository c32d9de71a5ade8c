"""Any order: tokens are filled in a random order, some per pass; ancestral masked diffusion.

With one token per pass the text and its order have an exact probability under the model, and a
model trained at every rate of hidden tokens was trained for just this (Hoogeboom et al. 2022,
arXiv:2110.02037, section 3; Sahoo et al. 2024, arXiv:2406.07524, section 3). With fewer passes
several tokens are drawn at once, independently, which no text is.

The number of tokens per pass is fixed, where ancestral diffusion in continuous time draws it: for
as many passes the fixed number draws fewer tokens together.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from scaling.generation.reader import blanks
from scaling.generation.sampler import Sampler, Task


def steps(task: Task, ids_BT: Tensor) -> Iterator[Tensor]:
    task.trace.log_prob_B = torch.zeros(len(ids_BT), dtype=torch.float64)
    hidden_BT = blanks(ids_BT)
    n_hidden_B = hidden_BT.sum(dim=1)
    n_steps = task.settings.steps or max(1, int(n_hidden_B.max()))
    order_BT = task.noise.orders(hidden_BT)
    rank_BT = torch.empty_like(order_BT).scatter(
        1, order_BT, torch.arange(ids_BT.shape[1]).expand_as(order_BT)
    )
    for step in range(1, n_steps + 1):
        open_BT = hidden_BT & (rank_BT < revealed(n_hidden_B, step, n_steps)[:, None])
        place_BT = open_BT & blanks(ids_BT)
        if place_BT.any():
            ids_BT = task.fill(ids_BT, place_BT)
            yield ids_BT


def revealed(n_hidden_B: Tensor, step: int, n_steps: int) -> Tensor:
    """Tokens that are known after a step, of those hidden at the start: all after the last."""
    # Rounded up, so that a text with fewer tokens than steps is done early, one at a time.
    return -(-n_hidden_B * step // n_steps)


ANY_ORDER = Sampler(
    steps=steps,
    predicts_next=False,
    options=frozenset({"steps"}),
    summary="fills in a random order (masked diffusion); `steps` passes, else one per token",
)
