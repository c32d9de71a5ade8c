"""Masked diffusion: a random share of the tokens is hidden, any share from one token to all.

With k of n tokens hidden, k uniform on 1..n, the mean loss of the hidden tokens times n bounds the
code length of the text from above (Uria et al. 2014, arXiv:1310.1757, section 4; as a diffusion
with an absorbing state: Austin et al. 2021, arXiv:2107.03006, appendix A.3; Sahoo et al. 2024,
arXiv:2406.07524, section 3). An encoder is so trained for the bound that it is judged by.

The shares of one batch are stratified, which takes most of the noise of k out of the gradient.
"""

from __future__ import annotations

import numpy as np
import torch

from scaling.models import LanguageModel
from scaling.objectives.masking import choose_positions
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
from scaling.objectives.validation_set import ShareOf, stratified_shares, validation_blocks
from scaling.spec import RunSpec
from scaling.text import Text
from scaling.tokenizer import MASK_ID


class MaskedDiffusion(ReadsWindows):
    """Prediction of hidden tokens at every rate, weighted to the any-order bound."""

    predicts_next = False
    corrupts = False
    reads_prefix = False
    main_term = "diffusion"

    def head_positions(self, spec: RunSpec) -> int:
        # Batches differ: this is what they have on average, rounded.
        return spec.seq_len // 2

    def training_batch(self, text: Text, spec: RunSpec, step: int) -> Batch:
        ids_BT = training_windows(text, spec, step)
        rng = step_rng(spec.seed, step)
        return any_order_batch(ids_BT, stratified_shares(len(ids_BT), rng).item, rng)

    def validation_batches(self, text: Text, spec: RunSpec, n_sequences: int) -> list[Batch]:
        return [
            any_order_batch(block.ids_BT, block.spread_shares(rng), rng)
            for block in validation_blocks(text, spec, n_sequences)
            for rng in [step_rng(1, block.first)]
        ]

    def yardstick(self, spec: RunSpec) -> str:
        return "any-order bound"

    def nll(self, model: LanguageModel, batch: Batch) -> Terms:
        hidden_BTE = model(batch.input_ids_BT)
        return {"diffusion": Term(token_nats(model, hidden_BTE, batch), batch.targets)}


def any_order_batch(ids_BT: np.ndarray, share_of: ShareOf, rng: np.random.Generator) -> Batch:
    """Hides 1 + floor(share x n) of the n text tokens of each row, drawn at random.

    Args:
        share_of: of a row, in [0, 1); uniform shares make the weighted nats an unbiased estimate
            of the bound on the nats of all text tokens. Asked for rows with text only, in order.
    """
    hidden_BT = ids_BT.copy()
    index, weights, n_text = [np.zeros(0, np.int64)], [np.zeros(0, np.float32)], 0
    for row, ids_T in enumerate(ids_BT):
        candidates_T = is_text(ids_T)
        n = int(candidates_T.sum())
        if n == 0:
            continue
        k = min(n, 1 + int(n * share_of(row)))
        positions_1K, _ = choose_positions(candidates_T[None], k, rng)
        hidden_BT[row, positions_1K[0]] = MASK_ID
        index.append(positions_1K[0] + row * len(ids_T))
        weights.append(np.full(k, n / k, dtype=np.float32))
        n_text += n
    index_M = np.concatenate(index)
    return Batch(
        input_ids_BT=torch.from_numpy(hidden_BT),
        target_index_M=torch.from_numpy(index_M),
        target_ids_M=torch.from_numpy(ids_BT.reshape(-1)[index_M]),
        target_weight_M=torch.from_numpy(np.concatenate(weights)),
        targets=n_text,
        predicted=len(index_M),
    )
