"""A plain PyTorch training loop, as one writes it by hand, around any model of the arms."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from torch import Tensor, nn

from scaling.bench.gate import Gate
from scaling.bench.shape import Shape

N_TOKENS = 800_000
FIRST_TEXT_ID = 4
MASK_ID = 3
NO_TARGET = -100
MASK_RATE = 0.15

# (input ids [B, T], targets [B, T]) -> mean loss
Loss = Callable[[Tensor, Tensor], Tensor]
Batches = Iterator[tuple[Tensor, Tensor]]


def tokens(vocab_size: int) -> Tensor:
    """Random tokens; what they say has no influence on speed."""
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.integers(FIRST_TEXT_ID, vocab_size, N_TOKENS))


def causal_batches(shape: Shape) -> Batches:
    """Random windows of the text in memory, as nanoGPT draws them."""
    data, length = tokens(shape.vocab_size), shape.seq_len
    while True:
        starts = torch.randint(len(data) - length - 1, (shape.rows,)).tolist()
        x_BT = torch.stack([data[i : i + length] for i in starts])
        y_BT = torch.stack([data[i + 1 : i + 1 + length] for i in starts])
        yield x_BT, y_BT


def masked_batches(shape: Shape) -> Batches:
    """Random windows with BERT's corruption, drawn as in `transformers`' own collator."""
    for x_BT, _ in causal_batches(shape):
        yield mask(x_BT, shape.vocab_size)


def mask(ids_BT: Tensor, vocab_size: int) -> tuple[Tensor, Tensor]:
    """15 % of the positions are targets; of these 80 % show [MASK] and 10 % a random token."""
    chosen_BT = torch.rand(ids_BT.shape) < MASK_RATE
    labels_BT = torch.where(chosen_BT, ids_BT, NO_TARGET)
    fate_BT = torch.rand(ids_BT.shape)
    shown_BT = torch.where(chosen_BT & (fate_BT < 0.8), MASK_ID, ids_BT)
    random_BT = torch.randint(FIRST_TEXT_ID, vocab_size, ids_BT.shape)
    shown_BT = torch.where(chosen_BT & (fate_BT >= 0.9), random_BT, shown_BT)
    return shown_BT, labels_BT


def train(
    model: nn.Module,
    loss_of: Loss,
    batches: Batches,
    gate: Gate,
    *,
    context: AbstractContextManager[object] | None = None,
) -> None:
    """AdamW with PyTorch's defaults, gradients clipped at 1, until nobody asks for more.

    Args:
        context: around forward passes, such as autocast.
    """
    torch.manual_seed(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.99), weight_decay=0.1)
    model.train()
    gate.built(sum(p.numel() for p in model.parameters()))
    for inputs_BT, targets_BT in batches:
        with context or nullcontext():
            loss = loss_of(inputs_BT, targets_BT)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        gate.passed()
