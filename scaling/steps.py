"""What a run reads, step by step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from torch.utils.data import IterableDataset

from scaling.objectives import Batch

if TYPE_CHECKING:
    from scaling.lit import LitRun


class Steps(IterableDataset[Batch]):
    """The batches of one run from a given step on: a function of (seed, step) alone.

    Each device gets its share of a step, in as many pieces as it takes through the model in turn.
    """

    def __init__(self, run: LitRun) -> None:
        self.run = run

    def __iter__(self) -> Iterator[Batch]:
        run = self.run
        rank, world_size = run.global_rank, run.trainer.world_size
        for step in range(run.first_step, run.spec.total_steps):
            batch = run.objective.training_batch(run.text, run.spec, step).shard(rank, world_size)
            for piece in range(run.micro_batches):
                yield batch.shard(piece, run.micro_batches)
