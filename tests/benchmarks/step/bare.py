"""Our own step without Lightning: the same batches, loss, clipping and optimizer in a bare loop."""

from __future__ import annotations

import math
from contextlib import nullcontext

import torch

from scaling.bench.gate import Gate
from scaling.bench.shape import Shape
from scaling.bench.subject import random_text, spec_of
from scaling.models import build_model
from scaling.objectives import OBJECTIVES
from scaling.optim import adamw
from scaling.schedule import learning_rate
from scaling.spec import Precision
from tests.benchmarks.step.plain import ARCHITECTURES


def train_float32(shape: Shape, gate: Gate) -> None:
    _train(shape, gate, "float32")


def train_bf16(shape: Shape, gate: Gate) -> None:
    _train(shape, gate, "bf16")


def _train(shape: Shape, gate: Gate, precision: Precision) -> None:
    spec = spec_of(shape, precision=precision, arch=ARCHITECTURES[shape.family])
    text, objective = random_text(shape.vocab_size), OBJECTIVES[spec.objective]
    torch.manual_seed(spec.seed)
    model = build_model(spec)
    optimizer, parameters = adamw(model, spec), list(model.parameters())
    gate.built(sum(p.numel() for p in parameters))
    model.train()
    for step in range(spec.total_steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(spec, step)
        batch = objective.training_batch(text, spec, step)
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16) if precision == "bf16" else nullcontext():
            terms = objective.nll(model, batch)
            loss = torch.stack([term.nats / max(term.targets, 1) for term in terms.values()]).sum()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, spec.gradient_clip, foreach=True)
        optimizer.step()
        if not math.isfinite(loss.item()):
            raise RuntimeError(f"the loss is not finite after {step + 1} steps")
        gate.passed()
