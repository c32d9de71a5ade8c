"""Gibbs: every place is hidden and drawn again from its conditional, sweep after sweep.

Source: Wang & Cho 2019, arXiv:1902.04094, section 3. The conditionals of a masked model need not
belong to any joint distribution; where they do, the texts converge to it (and where they do not,
to what the order of visits makes of them: Goyal et al. 2022, arXiv:2106.02736, section 3).

All places start hidden; the first fill draws them in a random order, each given those before.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from scaling.generation.reader import blanks
from scaling.generation.sampler import Sampler, Task
from scaling.tokenizer import MASK_ID

DEFAULT_SWEEPS = 4


def steps(task: Task, ids_BT: Tensor) -> Iterator[Tensor]:
    hidden_BT = blanks(ids_BT)
    sweeps = task.settings.sweeps
    sweeps = DEFAULT_SWEEPS if sweeps is None else sweeps
    if sweeps == 0:
        task.trace.log_prob_B = torch.zeros(len(ids_BT), dtype=torch.float64)
    for sweep in range(1 + sweeps):
        for place_BT in visits(task, hidden_BT):
            before_BT = ids_BT
            ids_BT = task.fill(ids_BT.masked_fill(place_BT, MASK_ID), place_BT)
            if sweep:
                task.trace.proposals += int(place_BT.sum())
                task.trace.accepted += int(place_BT.sum())
                task.trace.moves += int((ids_BT != before_BT).sum())
        yield ids_BT


def visits(task: Task, places_BT: Tensor) -> Iterator[Tensor]:
    """One sweep: each place of each text once, in a random order; bool [B, T], one per text."""
    order_BT = task.noise.orders(places_BT)
    n_B = places_BT.sum(dim=1)
    for visit in range(int(n_B.max()) if len(n_B) else 0):
        place_BT = torch.zeros_like(places_BT)
        place_BT.scatter_(1, order_BT[:, visit : visit + 1], (visit < n_B)[:, None])
        yield place_BT


GIBBS = Sampler(
    steps=steps,
    predicts_next=False,
    options=frozenset({"sweeps"}),
    summary=f"draws each place again, `sweeps` times (default {DEFAULT_SWEEPS}) after a first fill",
)
