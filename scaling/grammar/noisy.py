"""The grammar heard through a noisy channel: a finite log-probability for any text.

A text with one wrong token has probability 0 under the grammar, however good the rest of it is, and
a mean over texts is then minus infinity. Here each token of a grammatical text is replaced with
probability `NOISE` by a token drawn uniformly from the whole vocabulary. Belief propagation stays
exact: a token is soft evidence for the symbol below it. A wrong token costs about
log(vocabulary / NOISE) nats, what it would have cost aside, and a right one -log(1 - NOISE).

Axes: B documents, M sentences, T tokens, S symbols.
"""

from __future__ import annotations

import numpy as np

from scaling.grammar.inference import HIDDEN, inside, inside_of, log_prob, log_prob_of
from scaling.grammar.rules import Grammar

NOISE = 0.01


def noisy_log_prob(grammar: Grammar, tokens_BT: np.ndarray, n_tokens: int) -> np.ndarray:
    """Log-probability in nats [B] of texts seen through the channel; finite for any text.

    Args:
        tokens_BT: terminals, HIDDEN where a token is not seen, any other number for a token that
            the grammar does not have.
        n_tokens: of the vocabulary that a replaced token is drawn from.
    """
    symbols_S = np.arange(grammar.knobs.symbols)
    right_BTS = tokens_BT[..., None] == symbols_S
    evidence_BTS = (1 - NOISE) * right_BTS + NOISE / n_tokens
    evidence_BTS = np.where((tokens_BT == HIDDEN)[..., None], 1.0, evidence_BTS)
    return log_prob_of(grammar, inside_of(grammar, evidence_BTS))


def is_valid(grammar: Grammar, tokens_BT: np.ndarray) -> np.ndarray:
    """Whether the grammar can say each sentence, bool [B, M]; tokens as above, none hidden."""
    known_BT = (tokens_BT >= 0) & (tokens_BT < grammar.knobs.symbols)
    up = inside(grammar, np.where(known_BT, tokens_BT, 0))
    known_BM = known_BT.reshape(len(tokens_BT), -1, grammar.knobs.sentence_tokens).all(axis=2)
    valid_BM: np.ndarray = known_BM & np.isfinite(up.log_scale)
    return valid_BM


def true_log_prob(grammar: Grammar, tokens_BT: np.ndarray) -> np.ndarray:
    """Log-probability in nats [B]; minus infinity for a text that the grammar cannot say."""
    known_BT = (tokens_BT >= 0) & (tokens_BT < grammar.knobs.symbols)
    nats_B = log_prob(grammar, np.where(known_BT, tokens_BT, 0))
    return np.where(known_BT.all(axis=1), nats_B, -np.inf)
