"""LitGPT's GPT in a plain loop; its positions are rotary, for it has no learned ones."""

from __future__ import annotations

from litgpt import GPT, Config
from litgpt.utils import chunked_cross_entropy
from torch import Tensor

from scaling.bench.gate import Gate
from scaling.bench.shape import Shape
from tests.benchmarks.step import loop


def train_float32(shape: Shape, gate: Gate) -> None:
    model = GPT(
        Config(
            n_layer=shape.n_layer,
            n_head=shape.n_head,
            n_embd=shape.d_model,
            intermediate_size=shape.d_ff,
            vocab_size=shape.vocab_size,
            padded_vocab_size=shape.vocab_size,
            block_size=shape.seq_len,
            norm_class_name="LayerNorm",
            mlp_class_name="GptNeoxMLP",
            parallel_residual=False,
            bias=True,
            lm_head_bias=False,
        )
    )
    model.lm_head.weight = model.transformer.wte.weight

    def loss_of(inputs_BT: Tensor, targets_BT: Tensor) -> Tensor:
        # As its own pretraining does.
        loss: Tensor = chunked_cross_entropy(model(inputs_BT), targets_BT)
        return loss

    loop.train(model, loss_of, loop.causal_batches(shape), gate)
