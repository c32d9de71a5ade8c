"""Causal language modelling: each position predicts the next token.

Source: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section 2.
"""

from __future__ import annotations

import numpy as np
import torch

from scaling.models import LanguageModel
from scaling.objectives.masking import choose_positions
from scaling.objectives.objective import (
    NO_TARGET,
    Batch,
    ReadsWindows,
    Term,
    Terms,
    flat_index,
    is_text,
    step_rng,
    token_nats,
    training_windows,
)
from scaling.objectives.validation_set import validation_blocks
from scaling.spec import RunSpec
from scaling.text import Text


class CausalLanguageModelling(ReadsWindows):
    """Next-token prediction on all text tokens, or on a random share of them."""

    predicts_next = True
    corrupts = False
    reads_prefix = False
    main_term = "clm"

    def head_positions(self, spec: RunSpec) -> int:
        return max(1, round(spec.target_share * (spec.seq_len - 1)))

    def training_batch(self, text: Text, spec: RunSpec, step: int) -> Batch:
        ids_BT = training_windows(text, spec, step)
        return causal_batch(ids_BT, self.head_positions(spec), step_rng(spec.seed, step))

    def validation_batches(self, text: Text, spec: RunSpec, n_sequences: int) -> list[Batch]:
        everywhere = spec.seq_len - 1
        return [
            causal_batch(block.ids_BT, everywhere, step_rng(0, block.first))
            for block in validation_blocks(text, spec, n_sequences)
        ]

    def yardstick(self, spec: RunSpec) -> str:
        return "clm"

    def nll(self, model: LanguageModel, batch: Batch) -> Terms:
        hidden_BTE = model(batch.input_ids_BT)
        return {"clm": Term(token_nats(model, hidden_BTE, batch), batch.targets)}


def causal_batch(ids_BT: np.ndarray, head_positions: int, rng: np.random.Generator) -> Batch:
    """Targets are the text tokens after the first position, or a random choice among them."""
    rows, seq_len = ids_BT.shape
    next_ids_BT = ids_BT[:, 1:]
    if head_positions == seq_len - 1:
        positions_BK = np.broadcast_to(np.arange(seq_len - 1), (rows, seq_len - 1))
        target_ids_BK = np.where(is_text(next_ids_BT), next_ids_BT, NO_TARGET)
    else:
        positions_BK, chosen_BK = choose_positions(is_text(next_ids_BT), head_positions, rng)
        target_ids_BK = np.take_along_axis(next_ids_BT, positions_BK, axis=1)
        target_ids_BK = np.where(chosen_BK, target_ids_BK, NO_TARGET)
    return Batch(
        input_ids_BT=torch.from_numpy(ids_BT),
        target_index_M=flat_index(positions_BK, seq_len),
        target_ids_M=torch.from_numpy(target_ids_BK.reshape(-1)),
        targets=int((target_ids_BK != NO_TARGET).sum()),
    )
