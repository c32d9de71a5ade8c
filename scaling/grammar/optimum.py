"""What the best possible model reaches on a grammar, in nats per token; pairs: `pairs.py`.

Each loss is measured on given documents, so that a model and the optimum are compared on the same
targets: the difference then has far less sampling error than either.

Axes: B documents, T tokens of a document, S symbols.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from scaling.grammar.inference import HIDDEN, hidden_token_probs, next_token_probs
from scaling.grammar.rules import Grammar

_PORTION = 256


def next_token_nats(grammar: Grammar, documents_BT: np.ndarray) -> np.ndarray:
    """-log P(token | tokens before it), float64 [B, T]."""
    return by_portion(
        lambda tokens: nats_of(next_token_probs(grammar, tokens), tokens), documents_BT
    )


def hidden_token_nats(
    grammar: Grammar, documents_BT: np.ndarray, hidden_BT: np.ndarray, *, before_only: bool = False
) -> np.ndarray:
    """-log P(token | tokens that are not hidden), float64 [B, T]; 0 where a token is not hidden.

    Args:
        before_only: given those before it alone, as attention that looks back sees them.
    """
    probs = next_token_probs if before_only else hidden_token_probs

    def measure(tokens: np.ndarray, hidden: np.ndarray) -> np.ndarray:
        seen = np.where(hidden, HIDDEN, tokens)
        return np.where(hidden, nats_of(probs(grammar, seen), tokens), 0.0)

    return by_portion(measure, documents_BT, hidden_BT)


def nats_of(probs_BTS: np.ndarray, tokens_BT: np.ndarray) -> np.ndarray:
    """-log of what each token was given, float64 [B, T]."""
    nats: np.ndarray = -np.log(np.take_along_axis(probs_BTS, tokens_BT[..., None], axis=2))[..., 0]
    return nats


def by_portion(measure: Callable[..., np.ndarray], *arrays: np.ndarray) -> np.ndarray:
    """Applies `measure` to some rows at a time: messages take S x R numbers per node."""
    return np.concatenate(
        [
            measure(*(array[first : first + _PORTION] for array in arrays))
            for first in range(0, len(arrays[0]), _PORTION)
        ]
    )
