"""The contract of an objective, and the parts that objectives share.

Axes: B batch, T sequence, K targets per sequence, M = B x K flat targets, E width, V vocabulary.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from scaling.batches import unique_text_tokens, windows
from scaling.models import LanguageModel
from scaling.spec import RunSpec
from scaling.text import Text
from scaling.tokenizer import FIRST_TEXT_ID

# cross_entropy skips targets of this id.
NO_TARGET = -100

# Keeps the draws of masks apart from those of windows, which are keyed by (seed, pass).
_MASK_STREAM = 0x6D61736B


class Term(NamedTuple):
    """One term of a loss.

    Attributes:
        nats: summed over the targets of this batch.
        targets: of the whole step.
        correct: targets of this batch that were predicted rightly, where each is a decision
            between two and not a token.
    """

    nats: Tensor
    targets: int
    correct: Tensor | None = None


Terms = dict[str, Term]


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """What one step reads. Axes as above.

    Attributes:
        target_index_M: positions that the head reads, as indices into the flat B x T.
        target_ids_M: the ids to predict there; NO_TARGET where a row had too few candidates.
        targets: what the summed nats are divided by, over the whole step and not only this
            device's share: the targets that count, or the tokens that they stand for.
        target_weight_M: what each target counts for; 1 where there are no weights.
        predicted: how many targets there are, where `targets` is the number of tokens that they
            stand for.
        prefix_B: positions of each row that see each other although the model is causal.
        is_next_B, pairs: labels of sentence pairs and their count, where there are any.
    """

    input_ids_BT: Tensor
    target_index_M: Tensor
    target_ids_M: Tensor
    targets: int
    target_weight_M: Tensor | None = None
    predicted: int | None = None
    segment_ids_BT: Tensor | None = None
    valid_BT: Tensor | None = None
    prefix_B: Tensor | None = None
    is_next_B: Tensor | None = None
    pairs: int = 0

    def to(self, device: torch.device, non_blocking: bool = False) -> Batch:
        moved: dict[str, Any] = {
            field.name: value.to(device, non_blocking=non_blocking)
            for field in dataclasses.fields(self)
            if isinstance(value := getattr(self, field.name), Tensor)
        }
        return dataclasses.replace(self, **moved)

    def shard(self, rank: int, world_size: int) -> Batch:
        """The share of one device, or of one micro-batch; the counts stay those of the step."""
        if world_size == 1:
            return self
        n_rows = len(self.input_ids_BT)
        assert n_rows % world_size == 0, "`Split.check` refuses what cannot be shared equally"
        share = n_rows // world_size
        return self.rows(rank * share, (rank + 1) * share)

    def rows(self, first: int, end: int) -> Batch:
        """The sequences from `first` to before `end`; the counts stay those of the whole."""
        length = self.input_ids_BT.shape[1]
        kept = slice(first, end)
        row_M = self.target_index_M // length
        targets = (row_M >= first) & (row_M < end)
        optional: dict[str, Any] = {
            name: None if value is None else value[kept]
            for name in ("segment_ids_BT", "valid_BT", "prefix_B", "is_next_B")
            for value in [getattr(self, name)]
        }
        if self.target_weight_M is not None:
            optional["target_weight_M"] = self.target_weight_M[targets]
        return dataclasses.replace(
            self,
            input_ids_BT=self.input_ids_BT[kept],
            target_index_M=self.target_index_M[targets] - first * length,
            target_ids_M=self.target_ids_M[targets],
            **optional,
        )


class Objective(Protocol):
    """One training objective. It holds no state and never edits a model.

    Attributes:
        uses_pairs: whether sequences are sentence pairs, with a label for each.
        pair_term: the term of the loss on those labels; None where they give none.
        predicts_next: whether a position predicts the token after it; a model that looks
            ahead would see the answer.
        corrupts: whether `spec.corruption` says what stands in place of a token to predict.
        reads_prefix: whether what is given at the start is read in both directions.
        main_term: the term that laws are fitted to.
    """

    uses_pairs: bool
    pair_term: str | None
    predicts_next: bool
    corrupts: bool
    reads_prefix: bool
    main_term: str

    def head_positions(self, spec: RunSpec) -> int:
        """Positions per sequence on which the token head is computed; 0 trains no such head."""

    def training_batch(self, text: Text, spec: RunSpec, step: int) -> Batch:
        """The batch of optimizer step `step` (from 0): a function of (spec.seed, step) alone."""

    def validation_batches(self, text: Text, spec: RunSpec, n_sequences: int) -> list[Batch]:
        """The fixed validation set: the same for every run on one text and length."""

    def unique_tokens(self, text: Text, spec: RunSpec) -> int:
        """Text tokens that the run reads at least once."""

    def yardstick(self, spec: RunSpec) -> str:
        """What the main term measures; losses of two yardsticks are never compared."""

    def nll(self, model: LanguageModel, batch: Batch) -> Terms:
        """Each term of the loss, summed over this batch."""


def step_rng(seed: int, step: int) -> np.random.Generator:
    """The generator of one step's masks; it depends on (seed, step) alone."""
    return np.random.default_rng((_MASK_STREAM, seed, step))


def training_windows(text: Text, spec: RunSpec, step: int) -> np.ndarray:
    """The sequences of one step [B, T], the same for every objective that reads windows."""
    rows = spec.sequences_per_step
    return windows(
        text.train,
        seq_len=spec.seq_len,
        seed=spec.seed,
        first_sequence=step * rows,
        n_sequences=rows,
    )


class ReadsWindows:
    """The part of an objective that follows from reading windows."""

    uses_pairs = False
    pair_term: str | None = None

    def unique_tokens(self, text: Text, spec: RunSpec) -> int:
        return unique_text_tokens(
            text.train,
            seq_len=spec.seq_len,
            n_sequences=spec.total_steps * spec.sequences_per_step,
            seed=spec.seed,
        )


def is_text(ids_BT: np.ndarray) -> np.ndarray:
    """True where an id is text: special tokens are never targets."""
    return ids_BT >= FIRST_TEXT_ID


def flat_index(positions_BK: np.ndarray, seq_len: int) -> Tensor:
    """Positions within each row as indices into the flat batch."""
    rows_B1 = np.arange(len(positions_BK), dtype=np.int64)[:, None] * seq_len
    return torch.from_numpy((positions_BK + rows_B1).reshape(-1))


def token_nats(model: LanguageModel, hidden_BTE: Tensor, batch: Batch) -> Tensor:
    """Summed cross-entropy in nats; the head is computed on the target positions only."""
    regions, index_M = model.regions, batch.target_index_M
    if regions is not None and model.training and len(index_M) == regions.n_targets:
        summed = regions.nats
    else:
        summed = summed_nats
    return summed(model, hidden_BTE, index_M, batch.target_ids_M, batch.target_weight_M)


def summed_nats(
    model: LanguageModel,
    hidden_BTE: Tensor,
    target_index_M: Tensor,
    target_ids_M: Tensor,
    target_weight_M: Tensor | None,
) -> Tensor:
    """`token_nats` from the tensors of a batch."""
    hidden_ME = hidden_BTE.reshape(-1, hidden_BTE.shape[-1]).index_select(0, target_index_M)
    logits_MV = model.logits(hidden_ME)
    if logits_MV.dtype != torch.float64:
        logits_MV = logits_MV.float()
    if target_weight_M is None:
        return F.cross_entropy(logits_MV, target_ids_M, ignore_index=NO_TARGET, reduction="sum")
    nats_M = F.cross_entropy(logits_MV, target_ids_M, ignore_index=NO_TARGET, reduction="none")
    return nats_M @ target_weight_M.to(nats_M.dtype)


def restored_ids(batch: Batch) -> np.ndarray:
    """The ids [B, T] of a batch with the tokens that it hides in their places."""
    ids_BT = batch.input_ids_BT.cpu().numpy()
    flat = ids_BT.reshape(-1).copy()
    index_M, target_ids_M = (x.cpu().numpy() for x in (batch.target_index_M, batch.target_ids_M))
    counts = target_ids_M != NO_TARGET
    flat[index_M[counts]] = target_ids_M[counts]
    return flat.reshape(ids_BT.shape)


def summed_at_targets(nats_BT: np.ndarray, batch: Batch) -> float:
    """The nats at the targets of a batch, weighted and summed as the objective does."""
    counts = batch.target_ids_M.cpu().numpy() != NO_TARGET
    nats_M = nats_BT.reshape(-1)[batch.target_index_M.cpu().numpy()]
    if batch.target_weight_M is not None:
        nats_M = nats_M * batch.target_weight_M.cpu().numpy()
    return float(nats_M[counts].sum())
