"""Bits per byte of held-out text: the yardstick that BERT and GPT share.

A model of the next token gives each text a probability, and its code length is exact. A model of
masked tokens, whatever its attention, gives one through the orders in which tokens can be filled
in: with k of n tokens masked, k uniform on 1..n, the mean loss of the masked tokens times n bounds
the text's code length from above, in expectation over k and the choice of tokens (Uria et al. 2014,
arXiv:1310.1757, section 4; Austin et al. 2021, arXiv:2107.03006, appendix A.3). Special tokens are
given and cost nothing, in both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from scaling.evaluate.together import each_once, pieces_of
from scaling.evaluate.validation import ratio_of_sums
from scaling.models import LanguageModel
from scaling.objectives import OBJECTIVES
from scaling.objectives.clm import causal_batch
from scaling.objectives.diffusion import any_order_batch
from scaling.objectives.objective import step_rng, token_nats
from scaling.objectives.validation_set import Block, validation_blocks
from scaling.record import BitsPerByteKind
from scaling.spec import RunSpec
from scaling.text import Text


@dataclass(frozen=True, kw_only=True, slots=True)
class BitsPerByte:
    """Bits per byte with its kind and the standard error of its mean over windows."""

    value: float
    kind: BitsPerByteKind
    standard_error: float | None


@torch.no_grad()
def bits_per_byte(
    model: LanguageModel,
    text: Text,
    spec: RunSpec,
    *,
    device: torch.device,
    micro_batch: int | None = None,
) -> BitsPerByte:
    """Measures `model` on the windows of the validation set, `spec.eval_tokens` positions.

    Args:
        micro_batch: sequences that the model takes at a time; None for as many as are measured
            together. Devices that train together share the windows out.
    """
    n_sequences = max(1, spec.eval_tokens // spec.seq_len)
    blocks = validation_blocks(text, spec, n_sequences)
    predicts_next = OBJECTIVES[spec.objective].predicts_next
    piece_nats = _causal_nats if predicts_next else _any_order_nats
    pieces = pieces_of([len(block.ids_BT) for block in blocks], micro_batch)

    def measure(index: int) -> list[float]:
        block, first, end = pieces[index]
        return [piece_nats(model, blocks[block], slice(first, end), device)]

    model.eval()
    rows = each_once(len(pieces), measure, device)
    model.train()
    nats = [0.0] * len(blocks)
    for (block, _, _), (value,) in zip(pieces, rows, strict=True):
        nats[block] += value
    n_bytes = [float(text.tokenizer.bytes_per_id[block.ids_BT].sum()) for block in blocks]
    nats_per_byte, error, _ = ratio_of_sums(list(zip(nats, n_bytes, strict=True)))
    return BitsPerByte(
        value=nats_per_byte / math.log(2),
        kind="exact" if predicts_next else "upper_bound",
        standard_error=None if error is None else error / math.log(2),
    )


def _causal_nats(model: LanguageModel, block: Block, rows: slice, device: torch.device) -> float:
    ids_BT = block.ids_BT[rows]
    batch = causal_batch(ids_BT, ids_BT.shape[1] - 1, step_rng(0, block.first)).to(device)
    return float(token_nats(model, model(batch.input_ids_BT), batch))


def _any_order_nats(model: LanguageModel, block: Block, rows: slice, device: torch.device) -> float:
    """An unbiased estimate of the any-order bound, summed over rows."""
    rng = step_rng(1, block.first)
    batch = (
        any_order_batch(block.ids_BT, block.spread_shares(rng), rng)
        .rows(rows.start, rows.stop)
        .to(device)
    )
    # Also where no row has text: a sharded model is gathered by all devices together.
    return float(token_nats(model, model(batch.input_ids_BT), batch))
