"""The LightningModule: steps one model on one objective, and reads its loss at set steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from scaling.checkpoint import Session, label_checkpoint
from scaling.evaluate.validation import validation_losses
from scaling.models import LanguageModel
from scaling.objectives import Batch, Objective
from scaling.optim import adamw
from scaling.record import CurvePoint
from scaling.schedule import learning_rate
from scaling.spec import RunSpec
from scaling.text import Text

# Readings lie half an octave apart, at steps that do not depend on the horizon.
_FIRST_READING = 64
_READINGS_PER_OCTAVE = 2
# A loss above this multiple of log(vocabulary) after warm-up will not come back.
_DIVERGED_SHARE = 1.5
# On an accelerator, looking at the loss stops the queue of work: look this often.
_FINITE_CHECK_STEPS = 50

OnReading = Callable[[int, dict[str, float]], None]


class Diverged(Exception):
    """The loss is not finite or beyond recovery; the message says at which step."""


class Steps(IterableDataset[Batch]):
    """The batches of one run from a given step on: a function of (seed, step) alone."""

    def __init__(self, run: LitRun) -> None:
        self.run = run

    def __iter__(self) -> Iterator[Batch]:
        run = self.run
        rank, world_size = run.global_rank, run.trainer.world_size
        for step in range(run.first_step, run.spec.total_steps):
            batch = run.objective.training_batch(run.text, run.spec, step)
            yield batch.shard(rank, world_size)


class LitRun(pl.LightningModule):
    """Steps one model on one objective. Knows no architecture, corpus or logger.

    Attributes:
        curve: readings so far; part of the checkpoint, so that a branch has its trunk's.
        readings_taken_over: how much of the curve came with the checkpoint.
        steps_done: optimizer steps so far, those of the checkpoint included.
        tokens_predicted: targets so far, over all devices.
        session: what earlier attempts have spent; goes into each checkpoint.
        on_reading: is given each reading as (step, row of named values).
        before_steps: is called before the first step of an attempt.
        after_step: is called with the number of finished steps, after any reading.
    """

    def __init__(
        self,
        model: LanguageModel,
        objective: Objective,
        spec: RunSpec,
        text: Text,
        *,
        readings: Sequence[Batch],
        train_flops_per_token: float,
    ) -> None:
        super().__init__()
        self.model, self.objective, self.spec, self.text = model, objective, spec, text
        self.readings = readings
        self.train_flops_per_token = train_flops_per_token
        self.first_step = 0
        self.curve: list[CurvePoint] = []
        self.readings_taken_over = 0
        self.steps_done = 0
        self.tokens_predicted = 0
        self.session = Session()
        self.on_reading: OnReading | None = None
        self.before_steps: Callable[[], None] | None = None
        self.after_step: Callable[[int], None] | None = None
        self._nats_since_reading: dict[str, Tensor] = {}
        self._targets_since_reading: dict[str, int] = {}

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        terms = self.objective.nll(self.model, batch)
        for term, (nats, targets) in terms.items():
            seen = self._nats_since_reading.get(term)
            nats = nats.detach().double()
            self._nats_since_reading[term] = nats if seen is None else seen + nats
            self._targets_since_reading[term] = self._targets_since_reading.get(term, 0) + targets
        self.tokens_predicted += batch.targets
        # Counts are those of the whole step; DDP averages gradients, so each share is scaled up.
        loss = torch.stack([nats / max(targets, 1) for nats, targets in terms.values()]).sum()
        return loss * self.trainer.world_size

    def on_train_start(self) -> None:
        if self.before_steps is not None:
            self.before_steps()

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        rate = learning_rate(self.spec, self.global_step)
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = rate

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        step = self.steps_done = self.global_step
        self._check_finite(step)
        if is_reading_step(step):
            self._read(step)
        if self.after_step is not None:
            self.after_step(step)

    def on_train_end(self) -> None:
        if not is_reading_step(self.global_step):
            self._read(self.global_step)

    def _check_finite(self, step: int) -> None:
        """Ends the run on a loss that is not finite; several devices look at it together."""
        world_size = self.trainer.world_size
        on_one_cpu = self.device.type == "cpu" and world_size == 1
        if not on_one_cpu and step % _FINITE_CHECK_STEPS:
            return
        broken = not all(map(torch.isfinite, self._nats_since_reading.values()))
        if world_size > 1:
            broken = self.trainer.strategy.reduce_boolean_decision(broken, all=False)
        if broken:
            raise Diverged(f"the training loss is not finite at step {step}")

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return adamw(self.model, self.spec)

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        if gradient_clip_val:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), gradient_clip_val, foreach=True)

    def train_dataloader(self) -> DataLoader[Batch]:
        return DataLoader(Steps(self), batch_size=None)

    def transfer_batch_to_device(
        self, batch: Batch, device: torch.device, dataloader_idx: int
    ) -> Batch:
        return batch if device.type == "cpu" else batch.to(device, non_blocking=True)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        label_checkpoint(checkpoint, self.spec, self.session)
        checkpoint["run"] = {
            "curve": [
                {name: getattr(point, name) for name in CurvePoint.__slots__}
                for point in self.curve
            ],
            "tokens_predicted": self.tokens_predicted,
            "nats_since_reading": {
                term: self.trainer.strategy.reduce(nats.clone(), reduce_op="sum")
                for term, nats in self._nats_since_reading.items()
            },
            "targets_since_reading": self._targets_since_reading,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        saved = checkpoint["run"]
        self.first_step = checkpoint["global_step"]
        self.curve = [CurvePoint(**point) for point in saved["curve"]]
        self.readings_taken_over = len(self.curve)
        self.steps_done = self.first_step
        self.tokens_predicted = saved["tokens_predicted"]
        # The sums of all devices were saved: one of them carries on with the whole.
        share = 1.0 if self.global_rank == 0 else 0.0
        self._nats_since_reading = {
            term: nats.to(self.device) * share for term, nats in saved["nats_since_reading"].items()
        }
        self._targets_since_reading = saved["targets_since_reading"]

    def train_nats(self) -> dict[str, float]:
        """Mean training loss of each term since the last reading, in nats per target."""
        return {
            term: float(self.trainer.strategy.reduce(nats.clone(), reduce_op="sum"))
            / max(self._targets_since_reading[term], 1)
            for term, nats in self._nats_since_reading.items()
        }

    def _read(self, step: int) -> None:
        """Adds the losses at `step` to the curve, and looks whether the run has diverged."""
        train = self.train_nats()
        self._nats_since_reading, self._targets_since_reading = {}, {}
        validation = {
            term: loss.nats_per_target
            for term, loss in validation_losses(self.model, self.objective, self.readings).items()
        }
        tokens = step * self.spec.batch_tokens
        rate = self.trainer.optimizers[0].param_groups[0]["lr"]
        for split, losses in (("train", train), ("validation", validation)):
            for term, nats in losses.items():
                self.curve.append(
                    CurvePoint(
                        tokens=tokens,
                        train_flops=tokens * self.train_flops_per_token,
                        split=split,  # type: ignore[arg-type]
                        term=term,
                        nats_per_target=nats,
                        learning_rate=rate,
                    )
                )
        if self.on_reading is not None:
            row = {f"train/{term}_nats": nats for term, nats in train.items()}
            row |= {f"validation/{term}_nats": nats for term, nats in validation.items()}
            self.on_reading(step, row | {"train/learning_rate": rate})
        if not all(map(math.isfinite, validation.values())):
            raise Diverged(f"the validation loss is not finite at step {step}")
        bound = _DIVERGED_SHARE * math.log(self.spec.vocab_size)
        main = train[self.objective.main_term]
        if tokens > self.spec.warmup_tokens and not main < bound:
            raise Diverged(
                f"the training loss is {main:.3g} nats per target at step {step}, over "
                f"{_DIVERGED_SHARE} log(vocab_size) = {bound:.3g}; lower peak_lr"
            )


def is_reading_step(step: int) -> bool:
    """Whether the loss is read after `step` steps; a function of the step alone."""
    if step < _FIRST_READING:
        return False
    octaves = _READINGS_PER_OCTAVE * math.log2(step / _FIRST_READING)
    return step == round(_FIRST_READING * 2 ** (round(octaves) / _READINGS_PER_OCTAVE))
