"""Fine-tuning: a linear head on a finished model, and a small loop that trains both.

AdamW, a warm-up over a tenth of the steps and a linear way to zero, as in BERT's appendix A.3
(Devlin et al. 2018). No dropout and no early stopping: what is measured is the last step.
"""

# Axes: B batch, T positions, W words, E width, C outputs.

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from scaling.evaluate.transfer.pooling import Pooler
from scaling.evaluate.transfer.task import Example, Inputs, Task, stack
from scaling.models import LanguageModel

WARMUP_SHARE = 0.1
WEIGHT_DECAY = 0.01
GRADIENT_CLIP = 1.0
_EVAL_BATCH = 64
# Batches are drawn from this many of them sorted by length, so that little is padding.
_POOL_BATCHES = 16
# What tells the draws of one seed apart.
_HEAD_STREAM, _ORDER_STREAM = 11, 12


class FineTuned(nn.Module):
    """A language model, a pooler and a linear head."""

    def __init__(
        self, model: LanguageModel, pooler: Pooler, n_outputs: int, *, seed: int, freeze: bool
    ) -> None:
        super().__init__()
        self.model, self.pooler, self.is_frozen = model, pooler, freeze
        width = model.token_embedding.embedding_dim
        self.head = nn.Linear(width, n_outputs)
        generator = torch.Generator().manual_seed(_seed_of(seed, _HEAD_STREAM))
        with torch.no_grad():
            weight = torch.empty(n_outputs, width).normal_(0.0, width**-0.5, generator=generator)
            # A frozen model's head may start anywhere; a small start keeps the first gradients
            # from drowning what the model has learned.
            self.head.weight.copy_(0.1 * weight)
            self.head.bias.zero_()

    def forward(self, inputs: Inputs) -> Tensor:
        """Outputs [B, C] of sentences, or [B, W, C] of words."""
        segments = inputs.segments_BT if self.model.segment_embedding is not None else None
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.is_frozen):
            # Under a causal mask no valid position sees the padding, which is on its right.
            valid = None if self.model.is_causal or inputs.valid_BT.all() else inputs.valid_BT
            hidden_BTE = self.model(inputs.ids_BT, segments, valid)
            pooled = self.pooler(hidden_BTE, inputs)
        outputs: Tensor = self.head(pooled)
        return outputs

    def trained_parameters(self) -> list[nn.Parameter]:
        """The head's; with the model's, but for the head of pre-training, unless frozen."""
        if self.is_frozen:
            return list(self.head.parameters())
        return list(self.parameters())


def set_direction(model: LanguageModel, mask: str) -> None:
    """Makes the attention of a finished model causal or bidirectional."""
    if mask == "pretrained":
        return
    model.is_causal = mask == "causal"
    for block in model.blocks:
        block.attention.is_causal = model.is_causal  # type: ignore[union-attr]


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """How long and how fast."""

    steps: int
    batch_examples: int
    peak_lr: float
    seed: int

    def learning_rate(self, step: int) -> float:
        """Of step 0 to `steps` - 1."""
        warmup = max(1, round(WARMUP_SHARE * self.steps))
        return self.peak_lr * min((step + 1) / warmup, (self.steps - step) / self.steps)


def fine_tune(
    tuned: FineTuned,
    task: Task,
    examples: Sequence[Example],
    schedule: Schedule,
    device: torch.device,
    report: Callable[[int], None] = lambda step: None,
) -> float:
    """Trains in place; returns the mean loss over the last tenth of the steps."""
    decay = [p for p in tuned.trained_parameters() if p.ndim >= 2]
    plain = [p for p in tuned.trained_parameters() if p.ndim < 2]
    optimizer = torch.optim.AdamW(
        [{"params": decay, "weight_decay": WEIGHT_DECAY}, {"params": plain, "weight_decay": 0.0}],
        lr=schedule.peak_lr,
    )
    tuned.train()
    losses = []
    for step, batch in enumerate(_batches(examples, schedule)):
        for group in optimizer.param_groups:
            group["lr"] = schedule.learning_rate(step)
        inputs = stack(batch)
        targets = task.targets(batch, inputs).to(device)
        loss = task.loss(_masked(task, tuned(inputs.to(device)), inputs.to(device)), targets)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(tuned.trained_parameters(), GRADIENT_CLIP)
        optimizer.step()
        losses.append(loss.item())
        report(step + 1)
    tuned.eval()
    return float(np.mean(losses[-max(1, schedule.steps // 10) :]))


@torch.no_grad()
def predict(
    tuned: FineTuned, task: Task, examples: Sequence[Example], device: torch.device
) -> list[Any]:
    """One prediction per example, in their order."""
    tuned.eval()
    order = sorted(range(len(examples)), key=lambda i: len(examples[i].laid.ids_T))
    predictions: list[Any] = [None] * len(examples)
    for first in range(0, len(order), _EVAL_BATCH):
        chosen = order[first : first + _EVAL_BATCH]
        batch = [examples[i] for i in chosen]
        inputs = stack(batch).to(device)
        outputs = _masked(task, tuned(inputs), inputs).float().cpu()
        for i, prediction in zip(chosen, task.predict(outputs, batch), strict=True):
            predictions[i] = prediction
    return predictions


def _masked(task: Task, outputs: Tensor, inputs: Inputs) -> Tensor:
    """Outputs of words that are none can win nothing."""
    if not task.reads_words:
        return outputs
    return outputs.masked_fill(~inputs.has_word_BW[..., None], -1e9)


def _batches(examples: Sequence[Example], schedule: Schedule) -> Iterator[list[Example]]:
    """`steps` batches over shuffled examples, pass after pass, of like lengths."""
    rng = np.random.default_rng(_seed_of(schedule.seed, _ORDER_STREAM))
    size = min(schedule.batch_examples, len(examples))
    made = 0
    while made < schedule.steps:
        order = rng.permutation(len(examples))
        batches = []
        for first in range(0, len(order), size * _POOL_BATCHES):
            pool = order[first : first + size * _POOL_BATCHES]
            lengths = [len(examples[i].laid.ids_T) for i in pool]
            ranked = pool[np.argsort(lengths, kind="stable")]
            batches += [ranked[i : i + size] for i in range(0, len(ranked), size)]
        for index in rng.permutation(len(batches))[: schedule.steps - made]:
            yield [examples[i] for i in batches[index]]
            made += 1


def _seed_of(seed: int, stream: int) -> int:
    return int(np.random.SeedSequence([seed, stream]).generate_state(1)[0])
