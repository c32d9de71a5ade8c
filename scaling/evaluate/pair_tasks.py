"""The tasks on pairs of segments, and a model's answers to them.

Each task is a fixed set of pairs of the validation split, half of them right, without hidden
tokens. Whatever was trained on one task is asked the others too: its class "is next" stands for
"in order" as well, so the answers need no training (Lan et al. 2020, arXiv:1909.11942, table 5).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scaling.batches import PairBatch, PairKind, pairs, validation_pairs
from scaling.evaluate.measurement import Trained
from scaling.grammar.pairs import Negatives
from scaling.models import LanguageModel
from scaling.objectives.objective import is_text
from scaling.sentences import sentences_of

# Task -> how its wrong pairs were made.
TASKS: dict[str, Negatives] = {
    "nsp": "random",
    "nsp_same_document": "same_document",
    "sop": "swapped",
}

_ROWS = 64
# Fixes the pairs that probes and thresholds are fitted on; apart from every seed of a run.
_FITTING_SEED = -2


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """A share of pairs with the standard error of a mean over pairs."""

    value: float
    standard_error: float

    def to_dict(self, name: str = "accuracy") -> dict[str, float]:
        return {name: self.value, f"{name}_standard_error": self.standard_error}


def share(right_B: np.ndarray) -> Share:
    """The mean of right answers (1), wrong ones (0) and undecided ones (1/2)."""
    right_B = right_B.astype(np.float64)
    error = float(right_B.std(ddof=1)) / math.sqrt(len(right_B))
    return Share(value=float(right_B.mean()), standard_error=error)


def task_pairs(
    trained: Trained, task: str, n_pairs: int, *, for_fitting: bool = False
) -> PairBatch:
    """The pairs of a task, cut at sentences: for judging, of the validation split; for fitting, of
    the training split. They depend on the text, the task and the length alone."""
    stream = trained.text.train if for_fitting else trained.text.validation
    kind = PairKind(negatives=TASKS[task], sentences=sentences_of(trained.text, stream))
    seq_len = trained.spec.seq_len
    if not for_fitting:
        return validation_pairs(stream, seq_len=seq_len, n_sequences=n_pairs, kind=kind)
    return pairs(
        stream,
        seq_len=seq_len,
        seed=_FITTING_SEED,
        first_sequence=0,
        n_sequences=n_pairs,
        kind=kind,
    )


@torch.no_grad()
def answers(trained: Trained, batch: PairBatch) -> dict[str, Any]:
    """What the pair head says: accuracy, loss, and how often it says "is next"."""
    logits_B2 = torch.cat(
        [
            trained.model.pair_logits(hidden_BTE).float().cpu()
            for hidden_BTE, _ in hidden_states(trained, batch)
        ]
    )
    log_p_B2 = logits_B2.log_softmax(dim=1).double().numpy()
    is_wrong_B = (~batch.is_next_B).astype(int)
    says_wrong_B = logits_B2.argmax(dim=1).numpy()
    return {
        **share(says_wrong_B == is_wrong_B).to_dict(),
        "nats_per_pair": float(-log_p_B2[np.arange(len(is_wrong_B)), is_wrong_B].mean()),
        "says_next_share": float((says_wrong_B == 0).mean()),
    }


@torch.no_grad()
def features(trained: Trained, batch: PairBatch) -> dict[str, np.ndarray]:
    """What a probe reads of the last layer, float64 [B, features].

    `cls` is the first position; `mean` holds the means a and b of both segments, their product and
    their distance, as sentence encoders are probed (Conneau et al. 2017, arXiv:1705.02364,
    section 3.1).
    """
    cls, means = [], []
    for hidden_BTE, rows in hidden_states(trained, batch):
        cls.append(hidden_BTE[:, 0].cpu())
        first_BE, second_BE = (
            _mean(hidden_BTE, torch.from_numpy(mask).to(hidden_BTE.device)).cpu()
            for mask in segment_masks(batch, rows)
        )
        parts = [first_BE, second_BE, first_BE * second_BE, (first_BE - second_BE).abs()]
        means.append(torch.cat(parts, dim=1))
    return {
        "cls": torch.cat(cls).double().numpy(),
        "mean": torch.cat(means).double().numpy(),
    }


def segment_masks(batch: PairBatch, rows: slice) -> tuple[np.ndarray, np.ndarray]:
    """Where the text of the first and of the second segment stands, bool [B, T]."""
    text_BT = is_text(batch.ids_BT[rows])
    in_second_BT = batch.segment_ids_BT[rows] == 1
    return text_BT & ~in_second_BT, text_BT & in_second_BT


def hidden_states(trained: Trained, batch: PairBatch) -> list[tuple[Tensor, slice]]:
    """Hidden states [B, T, E] of the last layer, a few rows at a time, and which rows."""
    return [
        (_hidden(trained.model, batch, rows, trained.device), rows)
        for first in range(0, len(batch.ids_BT), _ROWS)
        for rows in [slice(first, first + _ROWS)]
    ]


def _hidden(model: LanguageModel, batch: PairBatch, rows: slice, device: torch.device) -> Tensor:
    segments = None
    if model.segment_embedding is not None:
        segments = torch.from_numpy(batch.segment_ids_BT[rows]).to(device)
    ids_BT = torch.from_numpy(batch.ids_BT[rows]).to(device)
    hidden_BTE: Tensor = model(ids_BT, segments, torch.from_numpy(batch.valid_BT[rows]).to(device))
    return hidden_BTE


def _mean(hidden_BTE: Tensor, mask_BT: Tensor) -> Tensor:
    weights_BT1 = mask_BT[..., None].to(hidden_BTE.dtype)
    mean_BE: Tensor = (hidden_BTE * weights_BT1).sum(dim=1) / weights_BT1.sum(dim=1).clamp(min=1)
    return mean_BE
