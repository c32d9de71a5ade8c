"""The hidden states of every layer of a model, taken while it reads, without a change to it."""

# Tensor axes: B batch, T sequence, E width.

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from scaling.models import LanguageModel


@torch.no_grad()
def hidden_states(
    model: LanguageModel, input_ids_BT: Tensor, valid_BT: Tensor | None = None
) -> list[Tensor]:
    """[B, T, E] of layer 0 (the embeddings) to `n_layer`.

    The last one is what the model gives to its head, after the final norm where there is one, as
    `transformers` has it; the others are the outputs of the blocks.

    Args:
        valid_BT: False where a position is padding; None for none.
    """
    found: list[Tensor] = []

    def keep_input(module: torch.nn.Module, inputs: tuple[Any, ...]) -> None:
        found.append(inputs[0])

    def keep_output(module: torch.nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        found.append(output)

    handles = [model.blocks[0].register_forward_pre_hook(keep_input)]
    handles += [block.register_forward_hook(keep_output) for block in model.blocks]
    try:
        found[-1:] = [model(input_ids_BT, valid_BT=valid_BT)]
    finally:
        for handle in handles:
            handle.remove()
    return found
