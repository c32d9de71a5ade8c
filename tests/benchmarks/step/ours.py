"""Our step as the launcher runs it; BERT as `roberta`, the model that BertForMaskedLM is."""

from __future__ import annotations

from scaling.bench.gate import Gate
from scaling.bench.shape import Shape
from scaling.bench.step import train_gated
from scaling.bench.subject import spec_of
from scaling.spec import Precision
from tests.benchmarks.step.plain import ARCHITECTURES


def train_float32(shape: Shape, gate: Gate) -> None:
    _train(shape, gate, "float32")


def train_bf16(shape: Shape, gate: Gate) -> None:
    _train(shape, gate, "bf16")


def train_float32_compiled(shape: Shape, gate: Gate) -> None:
    _train(shape, gate, "float32", compiled=True)


def train_bf16_compiled(shape: Shape, gate: Gate) -> None:
    _train(shape, gate, "bf16", compiled=True)


def _train(shape: Shape, gate: Gate, precision: Precision, *, compiled: bool = False) -> None:
    spec = spec_of(shape, precision=precision, arch=ARCHITECTURES[shape.family])
    train_gated(shape, spec, gate, compiled=compiled)
