"""A GPT in one file in the manner of nanoGPT, written anew from the paper's description.

Pre-LN blocks, one projection for queries, keys and values, PyTorch's fused attention kernel,
learned positions, a tied head (Radford et al. 2019, section 2.3), and a loop without a framework.
"""

# Tensor axes: B batch, T sequence, E width, H heads, K head width, V vocabulary.

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scaling.bench.gate import Gate
from scaling.bench.shape import Shape
from tests.benchmarks.step import loop


class Block(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.n_head = shape.n_head
        self.attention_norm = nn.LayerNorm(shape.d_model)
        self.qkv = nn.Linear(shape.d_model, 3 * shape.d_model)
        self.out = nn.Linear(shape.d_model, shape.d_model)
        self.feed_forward_norm = nn.LayerNorm(shape.d_model)
        self.up = nn.Linear(shape.d_model, shape.d_ff)
        self.down = nn.Linear(shape.d_ff, shape.d_model)

    def forward(self, x_BTE: Tensor) -> Tensor:
        B, T, E = x_BTE.shape
        q_BHTK, k_BHTK, v_BHTK = (
            part_BTE.view(B, T, self.n_head, E // self.n_head).transpose(1, 2)
            for part_BTE in self.qkv(self.attention_norm(x_BTE)).split(E, dim=2)
        )
        mixed_BHTK = F.scaled_dot_product_attention(q_BHTK, k_BHTK, v_BHTK, is_causal=True)
        x_BTE = x_BTE + self.out(mixed_BHTK.transpose(1, 2).contiguous().view(B, T, E))
        hidden_BTF = F.gelu(self.up(self.feed_forward_norm(x_BTE)))
        updated_BTE: Tensor = x_BTE + self.down(hidden_BTF)
        return updated_BTE


class Gpt(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.tokens = nn.Embedding(shape.vocab_size, shape.d_model)
        self.positions = nn.Embedding(shape.seq_len, shape.d_model)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.n_layer))
        self.norm = nn.LayerNorm(shape.d_model)
        self.head = nn.Linear(shape.d_model, shape.vocab_size, bias=False)
        self.head.weight = self.tokens.weight
        for parameter in self.parameters():
            if parameter.ndim == 2:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, inputs_BT: Tensor, targets_BT: Tensor) -> Tensor:
        positions_T = torch.arange(inputs_BT.shape[1])
        x_BTE = self.tokens(inputs_BT) + self.positions(positions_T)
        for block in self.blocks:
            x_BTE = block(x_BTE)
        logits_BTV = self.head(self.norm(x_BTE))
        return F.cross_entropy(logits_BTV.view(-1, logits_BTV.shape[-1]), targets_BT.view(-1))


def train_float32(shape: Shape, gate: Gate) -> None:
    model = Gpt(shape)
    loop.train(model, model, loop.causal_batches(shape), gate)


def train_bf16(shape: Shape, gate: Gate) -> None:
    model = Gpt(shape)
    autocast = torch.autocast("cpu", torch.bfloat16)
    loop.train(model, model, loop.causal_batches(shape), gate, context=autocast)
