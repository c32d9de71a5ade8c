"""The suite's own step as an arm: `scaling.train.run`, with all that happens between two steps."""

from __future__ import annotations

import tempfile
from pathlib import Path

from scaling import train
from scaling.accounting import params_total
from scaling.bench.gate import Gate
from scaling.bench.shape import Shape
from scaling.bench.subject import random_text, spec_of
from scaling.spec import RunSpec
from scaling.watch import Watch


def train_float32(shape: Shape, gate: Gate) -> None:
    train_gated(shape, spec_of(shape, precision="float32"), gate)


def train_bf16(shape: Shape, gate: Gate) -> None:
    train_gated(shape, spec_of(shape, precision="bf16"), gate)


def train_gated(shape: Shape, spec: RunSpec, gate: Gate, *, compiled: bool = False) -> None:
    """Trains through the Lightning Trainer as the worker does; `gate` counts its steps."""

    class GatedWatch(Watch):
        counted = 0

        def after_step(self, step: int) -> None:
            super().after_step(step)
            done, self.counted = step - self.counted, step
            gate.passed(done)

    gate.built(params_total(spec))
    with tempfile.TemporaryDirectory() as folder:
        # `run` makes its watch itself; this process does nothing else.
        vars(train)["Watch"] = GatedWatch
        text = random_text(shape.vocab_size)
        train.run(spec, text=text, folder=Path(folder), compiled=compiled)
