"""One run as a naive sweep trains it: a process of its own, float32, cosine to its horizon.

    python -m tests.benchmarks.sweep.naive_run SPEC.json CACHE

The model, the batches and what is measured at the end are ours, so that both sweeps do the same
work: validation loss and bits per byte. It reads no curve and writes no checkpoint.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import torch

from scaling.evaluate.likelihood import bits_per_byte
from scaling.evaluate.validation import validation_losses
from scaling.models import build_model
from scaling.objectives import OBJECTIVES
from scaling.spec import RunSpec
from scaling.text_of_run import text_of


def cosine(spec: RunSpec, step: int) -> float:
    """Warm-up, then down to a tenth of the peak at the horizon, as in Hoffmann et al. 2022."""
    warmup_steps = max(1, spec.warmup_tokens // spec.batch_tokens)
    if step < warmup_steps:
        return spec.peak_lr * (step + 1) / warmup_steps
    share = (step - warmup_steps) / max(1, spec.total_steps - warmup_steps)
    return spec.peak_lr * (0.1 + 0.45 * (1 + math.cos(math.pi * share)))


def train(spec: RunSpec, cache: Path) -> dict[str, float]:
    """Nats per target and bits per byte of the trained model."""
    text, objective = text_of(spec, cache), OBJECTIVES[spec.objective]
    torch.manual_seed(spec.seed)
    model = build_model(spec)
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=spec.peak_lr,
        betas=(spec.adam_beta1, spec.adam_beta2),
        weight_decay=spec.weight_decay,
    )
    for step in range(spec.total_steps):
        for group in optimizer.param_groups:
            group["lr"] = cosine(spec, step)
        batch = objective.training_batch(text, spec, step)
        terms = objective.nll(model, batch)
        loss = torch.stack([term.nats / max(term.targets, 1) for term in terms.values()]).sum()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), spec.gradient_clip)
        optimizer.step()
    batches = objective.validation_batches(text, spec, max(1, spec.eval_tokens // spec.seq_len))
    losses = validation_losses(model, objective, batches)
    code = bits_per_byte(model, text, spec, device=torch.device("cpu"))
    return {
        "nats_per_target": losses[objective.main_term].nats_per_target,
        "bits_per_byte": code.value,
    }


def main() -> None:
    spec = RunSpec.from_dict(json.loads(Path(sys.argv[1]).read_text()))
    print(json.dumps(train(spec, Path(sys.argv[2]))))


if __name__ == "__main__":
    main()
