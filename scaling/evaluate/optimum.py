"""The Bayes optimum on a corpus whose distribution is known: what no model can beat.

A loss below it, beyond sampling error, is a leak: the model saw what it should predict.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from scaling.corpora.grammar import known_grammar
from scaling.evaluate.pair_optimum import pair_optimum
from scaling.grammar.optimum import hidden_token_nats, next_token_nats
from scaling.grammar.rules import ALPHABET, Grammar
from scaling.models import build_shapes
from scaling.objectives import OBJECTIVES, Batch
from scaling.objectives.objective import restored_ids, summed_at_targets
from scaling.record import TermLoss
from scaling.spec import RunSpec
from scaling.tokenizer import FIRST_TEXT_ID, MASK_ID

# How many standard errors of the paired difference a loss may lie under the optimum.
LEAK_ERRORS = 5.0

# Float32 losses are not exact.
_ROUNDING_NATS = 1e-4

# The nats of the optimum for the targets of a batch, summed as the objective sums them.
OptimalNats = Callable[[Batch], float]


class BeatsOptimumError(RuntimeError):
    """A loss under the Bayes optimum: the model sees what it is asked for."""


def optimum(spec: RunSpec) -> tuple[dict[str, OptimalNats], str]:
    """How to compute the optimum of each term of a run; else none, and why there is none.

    The reason is empty where nobody expects one: the distribution of the corpus is not known.
    """
    grammar = known_grammar(spec.corpus)
    if grammar is None:
        return {}, ""
    objective = OBJECTIVES[spec.objective]
    if spec.tokenizer != "bytes":
        return {}, f"tokens of tokenizer={spec.tokenizer!r} are not the grammar's own"
    if objective.corrupts and spec.corruption != "mask":
        return {}, f"corruption={spec.corruption!r} hides which tokens are true; give mask"
    if objective.uses_pairs:
        return pair_optimum(grammar, spec)
    if spec.seq_len != grammar.knobs.document_tokens + 2:
        return {}, (
            f"seq_len={spec.seq_len} cuts documents: one with its [CLS] and [SEP] has "
            f"{grammar.knobs.document_tokens + 2} positions"
        )
    if objective.predicts_next:
        return {objective.main_term: lambda batch: _next(grammar, batch)}, ""
    is_causal = build_shapes(spec).is_causal
    return {objective.main_term: lambda batch: _hidden(grammar, batch, is_causal=is_causal)}, ""


def check_leak(losses: Mapping[str, TermLoss]) -> None:
    """Raises BeatsOptimumError where a loss is lower than any model's can be."""
    for term, loss in losses.items():
        if loss.optimal_nats_per_target is None:
            continue
        error = loss.excess_standard_error or 0.0
        excess = loss.nats_per_target - loss.optimal_nats_per_target
        if excess < -LEAK_ERRORS * error - _ROUNDING_NATS:
            raise BeatsOptimumError(
                f"{term} is {loss.nats_per_target:.4f} nats per target, under the Bayes optimum "
                f"{loss.optimal_nats_per_target:.4f} by more than {LEAK_ERRORS:g} standard errors "
                f"({error:.2g}): the model sees what it is asked for"
            )


def _next(grammar: Grammar, batch: Batch) -> float:
    documents_BT = _terminals(batch.input_ids_BT.cpu().numpy())
    nats_BT = next_token_nats(grammar, documents_BT)
    # The position before a token predicts it: [CLS] the first one. [SEP] is no target.
    by_position = np.zeros(batch.input_ids_BT.shape)
    by_position[:, :-2] = nats_BT
    return summed_at_targets(by_position, batch)


def _hidden(grammar: Grammar, batch: Batch, *, is_causal: bool) -> float:
    ids_BT = batch.input_ids_BT.cpu().numpy()
    hidden_BT = (ids_BT == MASK_ID)[:, 1:-1]
    documents_BT = _terminals(restored_ids(batch))
    by_position = np.zeros(ids_BT.shape)
    by_position[:, 1:-1] = hidden_token_nats(
        grammar, documents_BT, hidden_BT, before_only=is_causal
    )
    return summed_at_targets(by_position, batch)


def _terminals(ids_BT: np.ndarray) -> np.ndarray:
    """Terminals of the documents in windows [CLS] document [SEP]."""
    return ids_BT[:, 1:-1] - FIRST_TEXT_ID - ord(ALPHABET[0])
