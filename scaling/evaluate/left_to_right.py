"""Bits per byte by the left-to-right chain: each token given those before it, the rest hidden.

The product of these conditionals is a normalised distribution over the texts that fill a window,
also for a model of masked tokens, so its code length is exact; it is that of a model which was
never trained to look at a prefix alone. Each token of a window takes a forward pass.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from scaling.errors import SweepError
from scaling.evaluate.likelihood import BitsPerByte
from scaling.evaluate.measurement import Measurement, Report, Trained, Weights
from scaling.evaluate.queries import Queries, log_probs
from scaling.evaluate.validation import ratio_of_sums
from scaling.models import LanguageModel
from scaling.objectives import OBJECTIVES
from scaling.objectives.objective import is_text
from scaling.objectives.validation_set import validation_blocks
from scaling.spec import RunSpec
from scaling.text import Text
from scaling.tokenizer import MASK_ID


@dataclass(frozen=True, kw_only=True)
class Options:
    """Attributes: windows: how many of the validation set are measured."""

    windows: int = 64
    weights: Weights = "trained"

    def __post_init__(self) -> None:
        if self.windows < 1:
            raise SweepError(f"windows={self.windows} measure nothing; give at least 1")


def measure(trained: Trained, options: Options, report: Report) -> dict[str, Any]:
    """Bits per byte by the chain, with its standard error over windows."""
    found = left_to_right_bits_per_byte(
        trained.model, trained.text, trained.spec, n_windows=options.windows,
        device=trained.device, on_window=report,
    )  # fmt: skip
    values: dict[str, Any] = {
        "bits_per_byte": found.value, "bits_per_byte_kind": found.kind,
        "bits_per_byte_standard_error": found.standard_error,
    }  # fmt: skip
    if found.standard_error is None:
        values["missing"] = {"bits_per_byte_standard_error": "a single window has no spread"}
    return values


def left_to_right_bits_per_byte(
    model: LanguageModel,
    text: Text,
    spec: RunSpec,
    *,
    n_windows: int,
    device: torch.device,
    on_window: Callable[[int, int], None] = lambda done, total: None,
) -> BitsPerByte:
    """Measures `model`, in evaluation mode, on windows of the validation set.

    They are spread evenly over the windows that `bits_per_byte` measures. Special tokens are given
    and cost nothing, as there.

    Args:
        n_windows: how many; as many as there are where there are fewer.
        on_window: told how many of how many are done.
    """
    predicts_next = OBJECTIVES[spec.objective].predicts_next
    blocks = validation_blocks(text, spec, max(1, spec.eval_tokens // spec.seq_len))
    ids_BT = np.concatenate([block.ids_BT for block in blocks])
    chosen = np.unique(np.linspace(0, len(ids_BT) - 1, min(n_windows, len(ids_BT))).astype(int))
    sums = []
    for done, ids_T in enumerate(ids_BT[chosen], start=1):
        nats = -log_probs(model, chain(ids_T, predicts_next=predicts_next), device).sum()
        sums.append((float(nats), float(text.tokenizer.bytes_per_id[ids_T].sum())))
        on_window(done, len(chosen))
    nats_per_byte, error, _ = ratio_of_sums(sums)
    return BitsPerByte(
        value=nats_per_byte / math.log(2),
        kind="exact",
        standard_error=None if error is None else error / math.log(2),
    )


def chain(ids_T: np.ndarray, *, predicts_next: bool) -> Queries:
    """One query for each text token of a window, all text from that token on hidden.

    Args:
        predicts_next: whether the position before a token predicts it.
    """
    targets_at_M = np.flatnonzero(is_text(ids_T))
    hidden_MT = is_text(ids_T)[None, :] & (np.arange(len(ids_T))[None, :] >= targets_at_M[:, None])
    return Queries(
        input_ids_RT=np.where(hidden_MT, MASK_ID, ids_T[None, :]),
        row_M=np.arange(len(targets_at_M)),
        read_M=targets_at_M - 1 if predicts_next else targets_at_M,
        targets_M=ids_T[targets_at_M],
    )


LEFT_TO_RIGHT = Measurement(options=Options, measure=measure)
