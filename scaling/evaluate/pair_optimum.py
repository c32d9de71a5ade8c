"""The Bayes optimum of what is learned from pairs of sentences of a grammar.

It is exact where both segments are one whole sentence and hidden tokens are seen to be hidden:
then a pair of the batch is a pair of the law that `scaling.grammar.pairs` knows.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from scaling.grammar.inference import HIDDEN
from scaling.grammar.pairs import Negatives, hidden_pair_nats, next_probs
from scaling.grammar.rules import ALPHABET, Grammar
from scaling.objectives import OBJECTIVES, Batch
from scaling.objectives.objective import restored_ids, summed_at_targets
from scaling.objectives.pair_format import MaskedOnPairs
from scaling.spec import RunSpec
from scaling.tokenizer import FIRST_TEXT_ID, MASK_ID

PAIR_SPECIALS = 3  # [CLS] A [SEP] B [SEP]


def pair_optimum(
    grammar: Grammar, spec: RunSpec
) -> tuple[dict[str, Callable[[Batch], float]], str]:
    """How to compute the optimum of each term on pairs; else none, and why there is none.

    Args:
        spec: on this grammar, by the tokenizer `bytes`, with [MASK] for all hidden tokens.
    """
    objective = OBJECTIVES[spec.objective]
    assert isinstance(objective, MaskedOnPairs)
    if why := not_whole_sentences(grammar, spec):
        return {}, why
    negatives = objective.negatives(spec)
    found: dict[str, Callable[[Batch], float]] = {}
    if objective.head_positions(spec):
        found["mlm"] = lambda batch: _token_nats(grammar, negatives, batch)
    if objective.pair_term is not None:
        found[objective.pair_term] = lambda batch: _label_nats(grammar, negatives, batch)
    return found, ""


def not_whole_sentences(grammar: Grammar, spec: RunSpec) -> str:
    """Why the pairs of a spec are not two whole sentences; empty where they are."""
    n = grammar.knobs.sentence_tokens
    if spec.pair_cut != "sentence":
        return "pairs are cut out of documents at any place; give pair_cut sentence"
    if not n <= (spec.seq_len - PAIR_SPECIALS) // 2 < 2 * n:
        return (
            f"seq_len={spec.seq_len} is not that of two sentences of {n} tokens with [CLS] and two "
            f"[SEP], which have {2 * n + PAIR_SPECIALS} positions"
        )
    return ""


def two_sentences(ids_BT: np.ndarray, sentence_tokens: int) -> tuple[np.ndarray, np.ndarray]:
    """Terminals [B, sentence_tokens] of both sentences; HIDDEN where there is a [MASK]."""
    terminals_BT = np.where(ids_BT == MASK_ID, HIDDEN, ids_BT - FIRST_TEXT_ID - ord(ALPHABET[0]))
    first = slice(1, 1 + sentence_tokens)
    second = slice(2 + sentence_tokens, 2 + 2 * sentence_tokens)
    return terminals_BT[:, first], terminals_BT[:, second]


def _label_nats(grammar: Grammar, negatives: Negatives, batch: Batch) -> float:
    assert batch.is_next_B is not None
    seen = two_sentences(batch.input_ids_BT.cpu().numpy(), grammar.knobs.sentence_tokens)
    probs_B = next_probs(grammar, negatives, *seen)
    is_next_B = batch.is_next_B.cpu().numpy()
    return float(-np.log(np.where(is_next_B, probs_B, 1 - probs_B)).sum())


def _token_nats(grammar: Grammar, negatives: Negatives, batch: Batch) -> float:
    n = grammar.knobs.sentence_tokens
    seen_BT, whole_BT = batch.input_ids_BT.cpu().numpy(), restored_ids(batch)
    first_BT, second_BT = two_sentences(whole_BT, n)
    is_hidden_BT = seen_BT == MASK_ID
    hidden_BT = np.concatenate([is_hidden_BT[:, 1 : 1 + n], is_hidden_BT[:, 2 + n : 2 + 2 * n]], 1)
    nats_BT = hidden_pair_nats(grammar, negatives, first_BT, second_BT, hidden_BT)
    by_position = np.zeros(seen_BT.shape)
    by_position[:, 1 : 1 + n] = nats_BT[:, :n]
    by_position[:, 2 + n : 2 + 2 * n] = nats_BT[:, n:]
    return summed_at_targets(by_position, batch)
