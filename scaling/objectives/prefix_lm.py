"""Prefix language modelling: a prefix is read in both directions, what follows is predicted.

Bidirectional attention without corrupted tokens: each row has a prefix of random length, whose
positions see each other; the tokens after it are predicted one by one. Source: Raffel et al. 2020,
arXiv:1910.10683, section 3.2.1 and figure 4.
"""

from __future__ import annotations

import numpy as np
import torch

from scaling.models import LanguageModel
from scaling.objectives.objective import (
    Batch,
    ReadsWindows,
    Term,
    Terms,
    is_text,
    step_rng,
    token_nats,
    training_windows,
)
from scaling.objectives.validation_set import stratified_shares, validation_blocks
from scaling.spec import RunSpec
from scaling.text import Text


class PrefixLanguageModelling(ReadsWindows):
    """Next-token prediction after a prefix whose positions see each other."""

    predicts_next = True
    corrupts = False
    reads_prefix = True
    main_term = "prefix"

    def head_positions(self, spec: RunSpec) -> int:
        # Batches differ: this is what they have on average, rounded.
        return spec.seq_len // 2

    def training_batch(self, text: Text, spec: RunSpec, step: int) -> Batch:
        ids_BT = training_windows(text, spec, step)
        shares_B = stratified_shares(len(ids_BT), step_rng(spec.seed, step))
        return prefix_batch(ids_BT, shares_B)

    def validation_batches(self, text: Text, spec: RunSpec, n_sequences: int) -> list[Batch]:
        return [
            prefix_batch(block.ids_BT, np.array([share_of(i) for i in range(len(block.ids_BT))]))
            for block in validation_blocks(text, spec, n_sequences)
            for share_of in [block.spread_shares(step_rng(1, block.first))]
        ]

    def yardstick(self, spec: RunSpec) -> str:
        return "clm after a prefix"

    def nll(self, model: LanguageModel, batch: Batch) -> Terms:
        hidden_BTE = model(batch.input_ids_BT, prefix_B=batch.prefix_B)
        return {"prefix": Term(token_nats(model, hidden_BTE, batch), batch.targets)}


def prefix_batch(ids_BT: np.ndarray, shares_B: np.ndarray) -> Batch:
    """Rows with a prefix of 1 + floor(share x (T - 1)) positions, [CLS] included.

    Args:
        shares_B: in [0, 1).
    """
    prefix_B = 1 + (shares_B * (ids_BT.shape[1] - 1)).astype(np.int64)
    position_T = np.arange(ids_BT.shape[1] - 1)
    wanted_BT = (position_T >= prefix_B[:, None] - 1) & is_text(ids_BT[:, 1:])
    row_M, position_M = np.nonzero(wanted_BT)
    return Batch(
        input_ids_BT=torch.from_numpy(ids_BT),
        target_index_M=torch.from_numpy(row_M * ids_BT.shape[1] + position_M),
        target_ids_M=torch.from_numpy(ids_BT[row_M, position_M + 1]),
        targets=len(row_M),
        prefix_B=torch.from_numpy(prefix_B),
    )
