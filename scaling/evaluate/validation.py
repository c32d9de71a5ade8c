"""The validation loss: each term of an objective on the fixed validation set."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
import torch

from scaling.evaluate.together import each_once, pieces_of
from scaling.models import LanguageModel
from scaling.objectives import Batch, Objective
from scaling.objectives.objective import NO_TARGET
from scaling.record import TermLoss

NO_OPTIMUM: Mapping[str, Callable[[Batch], float]] = MappingProxyType({})


@torch.no_grad()
def validation_losses(
    model: LanguageModel,
    objective: Objective,
    batches: Sequence[Batch],
    *,
    unigram_nats: np.ndarray | None = None,
    micro_batch: int | None = None,
    optimal_nats: Mapping[str, Callable[[Batch], float]] = NO_OPTIMUM,
) -> dict[str, TermLoss]:
    """Mean loss of each term over all targets of `batches`; devices share the batches out.

    Args:
        batches: as from `objective.validation_batches`, on the model's device.
        unigram_nats: code length of each id under the training text's unigram frequencies,
            shape [V]; where given, the same targets are also measured with it.
        micro_batch: sequences that the model takes at a time; None for a batch.
        optimal_nats: term -> of a batch, summed nats under the distribution of the text; the
            same targets are measured with it too.
    Returns:
        term -> its loss. Standard errors are those of a ratio of sums over batches.
    """
    pieces = pieces_of([len(batch.input_ids_BT) for batch in batches], micro_batch)
    terms: list[str] = []
    decides: list[bool] = []

    def measure(index: int) -> list[float]:
        batch, first, end = pieces[index]
        found = objective.nll(model, batches[batch].rows(first, end))
        terms[:] = found
        decides[:] = [loss.correct is not None for loss in found.values()]
        return [
            float(number)
            for loss in found.values()
            for number in (loss.nats, loss.targets, loss.correct or 0)
        ]

    model.eval()
    rows = each_once(len(pieces), measure, batches[0].input_ids_BT.device)
    model.train()
    losses = {}
    for i, term in enumerate(terms):
        # Each piece of a batch names the targets of the whole batch.
        sums = [(0.0, 0.0)] * len(batches)
        hits = [(0.0, 0.0)] * len(batches)
        for (batch, _, _), row in zip(pieces, rows, strict=True):
            nats, targets, correct = row[3 * i : 3 * i + 3]
            sums[batch] = (sums[batch][0] + nats, targets)
            hits[batch] = (hits[batch][0] + correct, targets)
        mean, error, total = ratio_of_sums(sums)
        unigram = optimal = excess_error = accuracy = accuracy_error = None
        if term in optimal_nats:
            excess = [
                (nats - optimal_nats[term](b), n)
                for b, (nats, n) in zip(batches, sums, strict=True)
            ]
            difference, excess_error, _ = ratio_of_sums(excess)
            optimal = mean - difference
        if decides[i]:
            accuracy, accuracy_error, _ = ratio_of_sums(hits)
        elif unigram_nats is not None and term == objective.main_term:
            unigram = unigram_loss(batches, unigram_nats)
        losses[term] = TermLoss(
            nats_per_target=mean,
            targets=int(total),
            standard_error=error,
            unigram_nats_per_target=unigram,
            optimal_nats_per_target=optimal,
            excess_standard_error=excess_error,
            accuracy=accuracy,
            accuracy_standard_error=accuracy_error,
        )
    return losses


def ratio_of_sums(pieces: Sequence[tuple[float, float]]) -> tuple[float, float | None, float]:
    """Sum of numerators over sum of denominators, its standard error, and the denominator.

    The error is the usual linearised one; a single piece has none.
    """
    numerators, denominators = np.array(pieces, dtype=np.float64).T
    total = denominators.sum()
    ratio = numerators.sum() / total
    m = len(pieces)
    if m < 2:
        return float(ratio), None, float(total)
    residuals = numerators - ratio * denominators
    error = math.sqrt(m / (m - 1) * float(residuals @ residuals)) / total
    return float(ratio), float(error), float(total)


def unigram_loss(batches: Sequence[Batch], unigram_nats: np.ndarray) -> float:
    """Nats per target that a code of single-token frequencies needs for the same targets."""
    ids = np.concatenate([batch.target_ids_M.cpu().numpy() for batch in batches])
    return float(unigram_nats[ids[ids != NO_TARGET]].mean())
