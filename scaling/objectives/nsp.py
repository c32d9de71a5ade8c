"""BERT's pre-training: masked tokens, and whether sentence B follows sentence A.

Half of the pairs are neighbours, half come from two documents.
Source: Devlin et al. 2019, arXiv:1810.04805, section 3.1.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from scaling.batches import PairBatch, pairs, validation_pairs
from scaling.models import LanguageModel
from scaling.objectives.mlm import (
    EVALUATION_MASK_RATE,
    MaskedLanguageModelling,
    masked_batch,
)
from scaling.objectives.objective import (
    Batch,
    Terms,
    step_rng,
    token_nats,
)
from scaling.objectives.validation_set import BLOCK_ROWS
from scaling.spec import RunSpec
from scaling.text import Text


class MaskedWithNextSentence(MaskedLanguageModelling):
    """MLM and next-sentence prediction on one forward pass."""

    uses_pairs = True

    def training_batch(self, text: Text, spec: RunSpec, step: int) -> Batch:
        rows = spec.sequences_per_step
        drawn = pairs(
            text.train,
            seq_len=spec.seq_len,
            seed=spec.seed,
            first_sequence=step * rows,
            n_sequences=rows,
        )
        return _pair_batch(drawn, slice(None), spec.mask_rate, spec, (spec.seed, step))

    def validation_batches(self, text: Text, spec: RunSpec, n_sequences: int) -> list[Batch]:
        drawn = validation_pairs(text.validation, seq_len=spec.seq_len, n_sequences=n_sequences)
        return [
            _pair_batch(
                drawn,
                slice(first, first + BLOCK_ROWS),
                EVALUATION_MASK_RATE,
                spec,
                (0, first),
            )
            for first in range(0, len(drawn.ids_BT), BLOCK_ROWS)
        ]

    def yardstick(self, spec: RunSpec) -> str:
        return f"{super().yardstick(spec)} on pairs"

    def nll(self, model: LanguageModel, batch: Batch) -> Terms:
        assert batch.is_next_B is not None
        hidden_BTE = model(batch.input_ids_BT, batch.segment_ids_BT, batch.valid_BT)
        pair_logits_B2 = model.pair_logits(hidden_BTE).float()
        # Class 0 means "is next", as in the original.
        is_random_B = (~batch.is_next_B).long()
        pair_nats = F.cross_entropy(pair_logits_B2, is_random_B, reduction="sum")
        return {
            "mlm": (token_nats(model, hidden_BTE, batch), batch.targets),
            "nsp": (pair_nats, batch.pairs),
        }


def _pair_batch(
    drawn: PairBatch, rows: slice, mask_rate: float, spec: RunSpec, key: tuple[int, int]
) -> Batch:
    return masked_batch(
        drawn.ids_BT[rows],
        mask_rate,
        corruption=spec.corruption,
        vocab_size=spec.vocab_size,
        rng=step_rng(*key),
        segment_ids_BT=torch.from_numpy(drawn.segment_ids_BT[rows]),
        valid_BT=torch.from_numpy(drawn.valid_BT[rows]),
        is_next_B=torch.from_numpy(drawn.is_next_B[rows]),
    )
