"""Masked language modelling: corrupted positions predict the token that stood there.

Masks are drawn anew at each step (Liu et al. 2019, arXiv:1907.11692, section 4.1); the share of
targets and their corruption are BERT's (Devlin et al. 2019, arXiv:1810.04805, section 3.1).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from scaling.models import LanguageModel
from scaling.objectives.masking import choose_positions, corrupt
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
from scaling.spec import Corruption, RunSpec
from scaling.text import Text

# Masked losses at two rates have two floors: all runs are evaluated at this one.
EVALUATION_MASK_RATE = 0.15


class MaskedLanguageModelling(ReadsWindows):
    """Prediction of a fixed share of the text tokens from all the others."""

    predicts_next = False
    corrupts = True
    reads_prefix = False
    main_term = "mlm"

    def head_positions(self, spec: RunSpec) -> int:
        return masked_positions(spec.mask_rate, spec.seq_len)

    def training_batch(self, text: Text, spec: RunSpec, step: int) -> Batch:
        ids_BT = training_windows(text, spec, step)
        return masked_batch(
            ids_BT,
            spec.mask_rate,
            corruption=spec.corruption,
            vocab_size=spec.vocab_size,
            rng=step_rng(spec.seed, step),
        )

    def validation_batches(self, text: Text, spec: RunSpec, n_sequences: int) -> list[Batch]:
        return [
            masked_batch(
                block.ids_BT,
                EVALUATION_MASK_RATE,
                corruption=spec.corruption,
                vocab_size=spec.vocab_size,
                rng=step_rng(0, block.first),
            )
            for block in validation_blocks(text, spec, n_sequences)
        ]

    def yardstick(self, spec: RunSpec) -> str:
        shown = "" if spec.corruption == "bert" else f", {spec.corruption} alone"
        return f"mlm@{EVALUATION_MASK_RATE:g}{shown}"

    def nll(self, model: LanguageModel, batch: Batch) -> Terms:
        hidden_BTE = model(batch.input_ids_BT)
        return {"mlm": Term(token_nats(model, hidden_BTE, batch), batch.targets)}


def masked_positions(mask_rate: float, seq_len: int) -> int:
    """Positions per sequence that MLM predicts: a share of all that follow [CLS]."""
    return max(1, round(mask_rate * (seq_len - 1)))


def masked_batch(
    ids_BT: np.ndarray,
    mask_rate: float,
    *,
    corruption: Corruption,
    vocab_size: int,
    rng: np.random.Generator,
    segment_ids_BT: Tensor | None = None,
    valid_BT: Tensor | None = None,
    is_next_B: Tensor | None = None,
) -> Batch:
    """Corrupts rows for MLM. A row short of text keeps the share, not the number, of targets."""
    seq_len = ids_BT.shape[1]
    candidates_BT = is_text(ids_BT)
    k = masked_positions(mask_rate, seq_len)
    positions_BK, chosen_BK = choose_positions(candidates_BT, k, rng)
    chosen_BK &= _within_share(candidates_BT, mask_rate, chosen_BK, rng)
    target_ids_BK = np.where(chosen_BK, np.take_along_axis(ids_BT, positions_BK, axis=1), NO_TARGET)
    corrupted_BT = corrupt(
        ids_BT, positions_BK, chosen_BK, corruption=corruption, vocab_size=vocab_size, rng=rng
    )
    return Batch(
        input_ids_BT=torch.from_numpy(corrupted_BT),
        target_index_M=flat_index(positions_BK, seq_len),
        target_ids_M=torch.from_numpy(target_ids_BK.reshape(-1)),
        targets=int(chosen_BK.sum()),
        segment_ids_BT=segment_ids_BT,
        valid_BT=valid_BT,
        is_next_B=is_next_B,
        pairs=0 if is_next_B is None else len(is_next_B),
    )


def _within_share(
    candidates_BT: np.ndarray, mask_rate: float, chosen_BK: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Keeps round(rate x candidates) of each row's choices, at random, at least one."""
    wanted_B = np.maximum(1, np.rint(mask_rate * candidates_BT.sum(axis=1))).astype(int)
    keys_BK = np.where(chosen_BK, rng.random(chosen_BK.shape), 2.0)
    rank_BK = keys_BK.argsort(axis=1).argsort(axis=1)
    within_BK: np.ndarray = rank_BK < wanted_B[:, None]
    return within_BK
