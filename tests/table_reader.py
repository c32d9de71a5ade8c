"""A reader with known conditionals, for samplers of masked models: two tokens of three kinds."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from scaling.generation.noise import Noise
from scaling.generation.sampler import Settings, Task
from scaling.tokenizer import CLS_ID, FIRST_TEXT_ID, MASK_ID

KINDS = 3
JOINT = np.array([[0.30, 0.02, 0.08], [0.02, 0.25, 0.03], [0.05, 0.05, 0.20]])
FIRST_GIVEN_SECOND = JOINT / JOINT.sum(axis=0)
SECOND_GIVEN_FIRST = JOINT / JOINT.sum(axis=1, keepdims=True)


class TableReader:
    """Conditionals of `JOINT`; of a text that is hidden as a whole, it knows nothing."""

    def logits(self, ids_BT: Tensor, wanted_BT: Tensor) -> Tensor:
        rows = wanted_BT.nonzero()
        found = torch.full((len(rows), FIRST_TEXT_ID + KINDS), -torch.inf, dtype=torch.float64)
        other = ids_BT[rows[:, 0], 3 - rows[:, 1]] - FIRST_TEXT_ID
        tables = torch.from_numpy(np.stack([FIRST_GIVEN_SECOND.T, SECOND_GIVEN_FIRST]))
        known = tables[rows[:, 1] - 1, other.clamp(min=0)]
        hidden = (ids_BT[rows[:, 0], 3 - rows[:, 1]] == MASK_ID)[:, None]
        found[:, FIRST_TEXT_ID:] = torch.where(hidden, torch.ones(KINDS) / KINDS, known).log()
        return found


def table_task(n_texts: int, seed: int = 0, **settings: object) -> tuple[Task, Tensor]:
    """A task on `n_texts` texts [CLS] [MASK] [MASK]."""
    ids_BT = torch.tensor([[CLS_ID, MASK_ID, MASK_ID]]).repeat(n_texts, 1)
    reader = TableReader()
    chosen = Settings(**settings)  # type: ignore[arg-type]
    return Task(reader=reader, settings=chosen, noise=Noise(seed, n_texts)), ids_BT  # type: ignore[arg-type]


def counts(ids_BT: Tensor) -> np.ndarray:
    """How often each pair of kinds occurs, [KINDS x KINDS]."""
    kinds = ids_BT[:, 1:].numpy() - FIRST_TEXT_ID
    return np.bincount(kinds[:, 0] * KINDS + kinds[:, 1], minlength=KINDS**2)
