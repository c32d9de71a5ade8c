"""Our model in a plain loop: what is left when everything but the model is taken away."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from scaling.bench.gate import Gate
from scaling.bench.shape import Shape
from scaling.bench.subject import spec_of
from scaling.models import build_model
from tests.benchmarks.step import loop

ARCHITECTURES = {"gpt": "decoder", "bert": "roberta"}


def train_float32(shape: Shape, gate: Gate) -> None:
    """Eager, float32, the head on all positions."""
    spec = spec_of(shape, precision="float32", arch=ARCHITECTURES[shape.family])
    model = build_model(spec)

    def loss_of(inputs_BT: Tensor, targets_BT: Tensor) -> Tensor:
        logits_BTV = model.logits(model(inputs_BT))
        return F.cross_entropy(
            logits_BTV.flatten(0, 1), targets_BT.flatten(), ignore_index=loop.NO_TARGET
        )

    batches = {"gpt": loop.causal_batches, "bert": loop.masked_batches}[shape.family]
    loop.train(model, loss_of, batches(shape), gate)
