"""The LightningModule: steps one model on one objective, and reads its loss at set steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.strategies import ParallelStrategy
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from scaling.checkpoint import Session, label_checkpoint
from scaling.evaluate.validation import validation_losses
from scaling.models import LanguageModel
from scaling.objectives import Batch, Objective
from scaling.optim import adamw
from scaling.readings import Diverged, check_converging, curve_points, is_reading_step
from scaling.record import CurvePoint
from scaling.schedule import learning_rate
from scaling.spec import RunSpec
from scaling.steps import Stretches, count_steps
from scaling.text import Text

# On an accelerator, looking at the loss stops the queue of work: look this often.
_FINITE_CHECK_STEPS = 50

OnReading = Callable[[int, dict[str, float]], None]


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
        self.automatic_optimization = False
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
        self._is_alone = True

    def configure_model(self) -> None:
        if self.lay_out is not None:
            self.lay_out(self.model)

    def on_fit_start(self) -> None:
        self._is_alone = self.trainer.world_size == 1
        self.readings = [batch.to(self.device) for batch in self.readings]

    def training_step(self, stretch: range, batch_idx: int) -> None:
        """Takes the optimizer steps of `stretch`, numbers from 0."""
        if self._saved_rng_state is not None:
            # Not before: what starts a run draws from the generator too.
            torch.set_rng_state(self._saved_rng_state)
            self._saved_rng_state = None
        for step in stretch:
            self.take_step(step)
            self._after_step(step + 1)

    def take_step(self, step: int) -> None:
        """One optimizer step: what it reads and its learning rate follow from its number."""
        trainer, optimizer = self.trainer, self.trainer.optimizers[0]
        rate = learning_rate(self.spec, step)
        for group in optimizer.param_groups:
            group["lr"] = rate
        batch = self.objective.training_batch(self.text, self.spec, step)
        share = batch.shard(self.global_rank, trainer.world_size)
        for piece in range(self.micro_batches):
            # Devices add up their gradients once, with those of the last piece.
            adds_up = self._is_alone or piece == self.micro_batches - 1
            with nullcontext() if adds_up else self._no_sync():
                loss = self._loss(share.shard(piece, self.micro_batches))
                if self._is_alone:
                    # The same, without Lightning's hooks around it.
                    loss.backward()  # type: ignore[no-untyped-call]
                else:
                    self.manual_backward(loss)
        if self.spec.gradient_clip:
            clip_grad_norm_(self.model.parameters(), self.spec.gradient_clip, foreach=True)
        optimizer.step()
        optimizer.zero_grad()
        self.tokens_predicted += batch.targets if batch.predicted is None else batch.predicted
        for term, targets in self._targets_of_step.items():
            self._targets_since_reading[term] = self._targets_since_reading.get(term, 0) + targets

    def _no_sync(self) -> AbstractContextManager[object]:
        assert isinstance(self.trainer.strategy, ParallelStrategy), "one device adds up nothing"
        return self.trainer.strategy.block_backward_sync()

    def _loss(self, batch: Batch) -> Tensor:
        """The part of the step's loss that a piece of its batch gives; adds it to the sums."""
        if self.device.type != "cpu":
            batch = batch.to(self.device, non_blocking=True)
        with torch.autocast(
            self.device.type, torch.bfloat16, enabled=self.spec.precision == "bf16"
        ):
            terms = self.objective.nll(self.model, batch)
        for term, found in terms.items():
            seen = self._nats_since_reading.get(term)
            nats = found.nats.detach().double()
            self._nats_since_reading[term] = nats if seen is None else seen + nats
            self._targets_of_step[term] = found.targets
        # Counts are those of the whole step, over which the gradients of the pieces add up;
        # devices average theirs, so each is scaled up.
        loss = torch.stack([term.nats / max(term.targets, 1) for term in terms.values()]).sum()
        return loss if self._is_alone else loss * self.trainer.world_size

    def _after_step(self, done: int) -> None:
        progress = self.trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress
        progress.increment_ready()
        progress.increment_completed()
        self.steps_done = done
        self._check_finite(done)
        if is_reading_step(done):
            self._read(done)
        if self.after_step is not None:
            self.after_step(done)

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
        broken = not all(map(math.isfinite, self._nats_since_reading.values()))
        if world_size > 1:
            broken = self.trainer.strategy.reduce_boolean_decision(broken, all=False)
        if broken:
            raise Diverged(f"the training loss is not finite at step {step}")

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return adamw(self.model, self.spec)

    def train_dataloader(self) -> Stretches:
        return Stretches(self)

    def transfer_batch_to_device(
        self, stretch: range, device: torch.device, dataloader_idx: int
    ) -> range:
        return stretch

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        label_checkpoint(checkpoint, self.spec, self.session)
        count_steps(checkpoint["loops"], self.steps_done)
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
        count_steps(checkpoint["loops"], self.first_step)

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
        self.curve += curve_points(
            {"train": train, "validation": validation},
            tokens=tokens,
            train_flops=tokens * self.train_flops_per_token,
            learning_rate=rate,
        )
        if self.on_reading is not None:
            row = {f"train/{term}_nats": nats for term, nats in train.items()}
            row |= {f"validation/{term}_nats": nats for term, nats in validation.items()}
            self.on_reading(step, row | {"train/learning_rate": rate})
        main = train[self.objective.main_term]
        check_converging(self.spec, step, train_nats=main, validation=validation)
