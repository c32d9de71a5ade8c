"""x-transformers' decoder in a plain loop, with its fused attention ("flash") on."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor
from x_transformers import Decoder, TransformerWrapper

from scaling.bench.gate import Gate
from scaling.bench.shape import Shape
from tests.benchmarks.step import loop


def train_float32(shape: Shape, gate: Gate) -> None:
    model = TransformerWrapper(
        num_tokens=shape.vocab_size,
        max_seq_len=shape.seq_len,
        tie_embedding=True,
        attn_layers=Decoder(
            dim=shape.d_model,
            depth=shape.n_layer,
            heads=shape.n_head,
            attn_dim_head=shape.d_model // shape.n_head,
            attn_flash=True,
        ),
    )

    def loss_of(inputs_BT: Tensor, targets_BT: Tensor) -> Tensor:
        # As its AutoregressiveWrapper does.
        return F.cross_entropy(model(inputs_BT).transpose(1, 2), targets_BT)

    loop.train(model, loss_of, loop.causal_batches(shape), gate)
