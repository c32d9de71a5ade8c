"""The options of the measurement `transfer`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from scaling.errors import SweepError
from scaling.evaluate.measurement import Weights, place

TaskName = Literal["classification", "tagging", "span", "similarity"]
Mask = Literal["pretrained", "causal", "bidirectional"]
PoolerName = Literal["cls", "mean", "last"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TransferOptions:
    """One fine-tuning.

    Attributes:
        data: a folder with train, validation and test as .jsonl or .jsonl.gz, or hub:NAME.
        mask: direction of the attention while fine-tuning; `pretrained` keeps that of the run.
        pooler: what the head reads: of a sentence its [CLS], mean or last position; of a word its
            mean or last position.
        peak_lr: highest learning rate, for all weights.
        epochs: passes over the training examples, unless `steps` is given.
        train_examples: this many, drawn by `seed` (more of them contain fewer); None for all.
        eval_examples: this many of validation and test each, the same for all seeds.
        too_long: whether an example that does not fit is cut at its end, or left out of all three
            splits; both are counted.
        freeze: train the head alone (a probe).
        weights: `initial` is the same model before pre-training.
    """

    task: TaskName = "classification"
    data: str | None = place()
    mask: Mask = "pretrained"
    pooler: PoolerName = "mean"
    peak_lr: float = 0.001
    seed: int = 0
    epochs: int = 3
    steps: int | None = None
    batch_examples: int = 16
    train_examples: int | None = None
    eval_examples: int | None = None
    too_long: Literal["cut", "drop"] = "cut"
    freeze: bool = False
    weights: Weights = "trained"

    def __post_init__(self) -> None:
        for name in ("epochs", "steps", "batch_examples", "train_examples", "eval_examples"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise SweepError(f"transfer: {name}={value} is not positive; give at least 1")
        if self.seed < 0:
            raise SweepError(f"transfer: seed={self.seed} is negative; give 0 or more")
        if not 0 < self.peak_lr < 1:
            raise SweepError(
                f"transfer: peak_lr={self.peak_lr} is not between 0 and 1; try 0.001 (YAML reads "
                "1e-3 as text: write 1.0e-3)"
            )
        if self.pooler == "cls" and self.task in ("tagging", "span"):
            raise SweepError(
                f"transfer: pooler='cls' does not serve task={self.task!r}, which reads words; "
                "give mean or last"
            )
