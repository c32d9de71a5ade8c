"""What a model says of single tokens: the common step of scores that ask token by token.

Axes: R rows, T positions of a row, M targets, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from scaling.models import LanguageModel

# Positions that go through the model at a time; more gains nothing on a CPU and costs memory.
_PORTION_POSITIONS = 16_384


@dataclass(frozen=True, kw_only=True, slots=True)
class Queries:
    """Rows of equal length, and the tokens to be predicted from them.

    Attributes:
        input_ids_RT: what the model is shown.
        row_M: the row of each target, in ascending order.
        read_M: the position of the row whose output predicts it.
        targets_M: the ids that are asked for.
    """

    input_ids_RT: np.ndarray
    row_M: np.ndarray
    read_M: np.ndarray
    targets_M: np.ndarray


def joined(queries: Sequence[Queries]) -> Queries:
    """Queries of one row length as one."""
    firsts = np.cumsum([0, *(len(q.input_ids_RT) for q in queries)])
    return Queries(
        input_ids_RT=np.concatenate([q.input_ids_RT for q in queries]),
        row_M=np.concatenate([q.row_M + first for q, first in zip(queries, firsts, strict=False)]),
        read_M=np.concatenate([q.read_M for q in queries]),
        targets_M=np.concatenate([q.targets_M for q in queries]),
    )


@torch.no_grad()
def log_probs(model: LanguageModel, queries: Queries, device: torch.device) -> np.ndarray:
    """log P of each target in nats, float64 [M], by a model in evaluation mode."""
    rows = max(1, _PORTION_POSITIONS // queries.input_ids_RT.shape[1])
    found = [np.zeros(0)]
    for first in range(0, len(queries.input_ids_RT), rows):
        part = slice(*np.searchsorted(queries.row_M, [first, first + rows]))
        input_ids_RT, row_M, read_M, targets_M = (
            torch.from_numpy(np.ascontiguousarray(values, dtype=np.int64)).to(device)
            for values in (
                queries.input_ids_RT[first : first + rows],
                queries.row_M[part] - first,
                queries.read_M[part],
                queries.targets_M[part],
            )
        )
        hidden_ME = model(input_ids_RT)[row_M, read_M]
        log_p_MV = model.logits(hidden_ME).double().log_softmax(-1)
        found.append(log_p_MV.gather(1, targets_M[:, None])[:, 0].cpu().numpy())
    return np.concatenate(found)
