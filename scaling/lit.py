"""The LightningModule: steps one model on one objective, and reads its loss at set steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from scaling.checkpoint import Session, label_checkpoint
from scaling.evaluate.validation import validation_losses
from scaling.models import LanguageModel
from scaling.objectives import Batch, Objective
from scaling.optim import adamw
from scaling.record import CurvePoint
from scaling.schedule import learning_rate
from scaling.spec import RunSpec
from scaling.steps import Steps
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


class LitRun(pl.LightningModule):
    """Steps one model on one objective. Knows no architecture, corpus or logger.

    Attributes:
        curve: readings so far; part of the checkpoint, so that a branch has its trunk's.
        readings_taken_over: how much of the curve came with the checkpoint.
        steps_done: optimizer steps so far, those of the checkpoint included.
        tokens_predicted: targets so far, over all devices.
        session: what earlier attempts have spent; goes into each checkpoint.
        micro_batches: pieces that each device cuts its share of a batch into.
        evaluation_rows: sequences that the model takes at a time when it is measured; None for
            as many as are measured together.
        lay_out: spreads the model over the devices; None where each has the whole of it.
        on_reading: is given each reading as (step, row of named values).
        after_step: is called with the number of finished steps, after any reading.
        after_training: is called after the last step and its reading.
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
        micro_batches: int = 1,
        evaluation_rows: int | None = None,
    ) -> None:
        super().__init__()
        self.model, self.objective, self.spec, self.text = model, objective, spec, text
        self.readings = readings
        self.train_flops_per_token = train_flops_per_token
        self.micro_batches, self.evaluation_rows = micro_batches, evaluation_rows
        self.lay_out: Callable[[LanguageModel], object] | None = None
        self.first_step = 0
        self.curve: list[CurvePoint] = []
        self.readings_taken_over = 0
        self.steps_done = 0
        self.tokens_predicted = 0
        self.session = Session()
        self.on_reading: OnReading | None = None
        self.after_step: Callable[[int], None] | None = None
        self.after_training: Callable[[], None] | None = None
        self._nats_since_reading: dict[str, Tensor] = {}
        self._targets_since_reading: dict[str, int] = {}
        self._targets_of_step: dict[str, int] = {}
        self._saved_rng_state: Tensor | None = None

    def configure_model(self) -> None:
        if self.lay_out is not None:
            self.lay_out(self.model)

    def on_fit_start(self) -> None:
        self.readings = [batch.to(self.device) for batch in self.readings]

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        terms = self.objective.nll(self.model, batch)
        for term, found in terms.items():
            seen = self._nats_since_reading.get(term)
            nats = found.nats.detach().double()
            self._nats_since_reading[term] = nats if seen is None else seen + nats
            self._targets_of_step[term] = found.targets
        # Counts are those of the whole step; Lightning divides by the number of micro-batches and
        # averages over devices, so each piece is scaled up.
        loss = torch.stack([term.nats / max(term.targets, 1) for term in terms.values()]).sum()
        return loss * (self.trainer.world_size * self.micro_batches)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        if self._saved_rng_state is not None:
            # Not before: what starts a run draws from the generator too.
            torch.set_rng_state(self._saved_rng_state)
            self._saved_rng_state = None
        rate = learning_rate(self.spec, self.global_step)
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = rate

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        step = self.global_step
        if step == self.steps_done:
            return  # a micro-batch with more of the same step to come
        self.steps_done = step
        self.tokens_predicted += batch.targets if batch.predicted is None else batch.predicted
        for term, targets in self._targets_of_step.items():
            self._targets_since_reading[term] = self._targets_since_reading.get(term, 0) + targets
        self._check_finite(step)
        if is_reading_step(step):
            self._read(step)
        if self.after_step is not None:
            self.after_step(step)

    def on_train_end(self) -> None:
        if not is_reading_step(self.global_step):
            self._read(self.global_step)
        if self.after_training is not None:
            self.after_training()

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
            "rng_state": torch.get_rng_state(),
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
        self._saved_rng_state = saved.get("rng_state")
        # Lightning counts micro-batches, and steps when the count is a multiple of those of now.
        counted = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]["current"]
        shift = self.first_step * self.micro_batches - counted["ready"]
        for name in counted:
            counted[name] += shift

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
            for term, loss in validation_losses(
                self.model, self.objective, self.readings, micro_batch=self.evaluation_rows
            ).items()
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
