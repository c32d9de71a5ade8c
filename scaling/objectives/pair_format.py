"""MLM on sentence pairs, without a loss on the pairs: what the format alone does.

RoBERTa compares pairs with next-sentence prediction to plain windows without (Liu et al. 2019,
arXiv:1907.11692, table 2), which changes the format and the loss together. This arm stands
between the two. The pairs are those of next-sentence prediction, wrong ones included.
"""

from __future__ import annotations

import torch

from scaling.batches import PairBatch, PairKind, pairs, unique_pair_tokens, validation_pairs
from scaling.grammar.pairs import Negatives
from scaling.models import LanguageModel
from scaling.objectives.mlm import (
    EVALUATION_MASK_RATE,
    MaskedLanguageModelling,
    masked_batch,
)
from scaling.objectives.objective import Batch, Term, Terms, step_rng, token_nats
from scaling.objectives.validation_set import BLOCK_ROWS
from scaling.sentences import sentences_of
from scaling.spec import RunSpec
from scaling.text import Text, TokenStream


class MaskedOnPairs(MaskedLanguageModelling):
    """MLM on pairs of segments, whose labels are not asked for."""

    uses_pairs = True

    def negatives(self, spec: RunSpec) -> Negatives:
        """Where wrong pairs come from."""
        return spec.negatives

    def training_batch(self, text: Text, spec: RunSpec, step: int) -> Batch:
        rows = spec.sequences_per_step
        drawn = pairs(
            text.train,
            seq_len=spec.seq_len,
            seed=spec.seed,
            first_sequence=step * rows,
            n_sequences=rows,
            kind=pair_kind(text, text.train, spec, self.negatives(spec)),
        )
        return self._batch(drawn, slice(None), spec.mask_rate, spec, (spec.seed, step))

    def validation_batches(self, text: Text, spec: RunSpec, n_sequences: int) -> list[Batch]:
        drawn = validation_pairs(
            text.validation,
            seq_len=spec.seq_len,
            n_sequences=n_sequences,
            kind=pair_kind(text, text.validation, spec, self.negatives(spec)),
        )
        return [
            self._batch(
                drawn, slice(first, first + BLOCK_ROWS), EVALUATION_MASK_RATE, spec, (0, first)
            )
            for first in range(0, len(drawn.ids_BT), BLOCK_ROWS)
        ]

    def unique_tokens(self, text: Text, spec: RunSpec) -> int:
        return unique_pair_tokens(
            text.train,
            seq_len=spec.seq_len,
            n_sequences=spec.total_steps * spec.sequences_per_step,
            seed=spec.seed,
            kind=pair_kind(text, text.train, spec, self.negatives(spec)),
        )

    def yardstick(self, spec: RunSpec) -> str:
        return f"{super().yardstick(spec)} on pairs{self.pair_words(spec)}"

    def pair_words(self, spec: RunSpec) -> str:
        """What sets the pairs apart from spans with random negatives, for a yardstick."""
        negatives = self.negatives(spec)
        words = "" if negatives == "random" else f", {negatives.replace('_', ' ')} negatives"
        return words + ("" if spec.pair_cut == "anywhere" else ", cut at sentences")

    def nll(self, model: LanguageModel, batch: Batch) -> Terms:
        hidden_BTE = model(batch.input_ids_BT, batch.segment_ids_BT, batch.valid_BT)
        return {"mlm": Term(token_nats(model, hidden_BTE, batch), batch.targets)}

    def _batch(
        self,
        drawn: PairBatch,
        rows: slice,
        mask_rate: float,
        spec: RunSpec,
        key: tuple[int, int],
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


def pair_kind(text: Text, stream: TokenStream, spec: RunSpec, negatives: Negatives) -> PairKind:
    """Which pairs of a split a spec asks for."""
    at_sentences = spec.pair_cut == "sentence"
    return PairKind(
        negatives=negatives, sentences=sentences_of(text, stream) if at_sentences else None
    )
