"""BERT's pre-training: masked tokens, and whether sentence B follows sentence A.

Half of the pairs are neighbours, half come from two documents, or from two places of one.
Source: Devlin et al. 2019, arXiv:1810.04805, section 3.1.
"""

from __future__ import annotations

import dataclasses

import torch
import torch.nn.functional as F
from torch import Tensor

from scaling.batches import PairBatch
from scaling.models import LanguageModel
from scaling.objectives.objective import Batch, Term, Terms, token_nats
from scaling.objectives.pair_format import MaskedOnPairs
from scaling.spec import RunSpec


class MaskedWithNextSentence(MaskedOnPairs):
    """MLM and next-sentence prediction on one forward pass."""

    pair_term: str | None = "nsp"

    def nll(self, model: LanguageModel, batch: Batch) -> Terms:
        assert self.pair_term is not None
        hidden_BTE = model(batch.input_ids_BT, batch.segment_ids_BT, batch.valid_BT)
        return {
            "mlm": Term(token_nats(model, hidden_BTE, batch), batch.targets),
            self.pair_term: pair_loss(model, hidden_BTE, batch),
        }


class NextSentenceAlone(MaskedWithNextSentence):
    """Next-sentence prediction without MLM, on the same corrupted pairs: the loss is all that
    sets it apart from `MaskedWithNextSentence`."""

    main_term = "nsp"

    def head_positions(self, spec: RunSpec) -> int:
        return 0

    def yardstick(self, spec: RunSpec) -> str:
        return f"nsp{self.pair_words(spec)}"

    def nll(self, model: LanguageModel, batch: Batch) -> Terms:
        hidden_BTE = model(batch.input_ids_BT, batch.segment_ids_BT, batch.valid_BT)
        return {"nsp": pair_loss(model, hidden_BTE, batch)}

    def _batch(
        self,
        drawn: PairBatch,
        rows: slice,
        mask_rate: float,
        spec: RunSpec,
        key: tuple[int, int],
    ) -> Batch:
        batch = super()._batch(drawn, rows, mask_rate, spec, key)
        nothing = torch.zeros(0, dtype=torch.int64)
        return dataclasses.replace(batch, target_index_M=nothing, target_ids_M=nothing, targets=0)


def pair_loss(model: LanguageModel, hidden_BTE: Tensor, batch: Batch) -> Term:
    """Cross-entropy of the labels of pairs; class 0 means "is next", as in the original."""
    assert batch.is_next_B is not None
    logits_B2 = model.pair_logits(hidden_BTE).float()
    is_wrong_B = (~batch.is_next_B).long()
    return Term(
        F.cross_entropy(logits_B2, is_wrong_B, reduction="sum"),
        batch.pairs,
        (logits_B2.argmax(dim=1) == is_wrong_B).sum(),
    )
