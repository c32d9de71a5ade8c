"""Documents of a grammar, drawn all at once.

Axes: B documents, M sentences, T tokens of a document.
"""

from __future__ import annotations

import numpy as np

from scaling.grammar.rules import ALPHABET, Grammar

# Streams of the seed: tables are 0.
TRAIN, VALIDATION = 1, 2
_PORTION = 8192


def draw_documents(grammar: Grammar, n_documents: int, *, stream: int) -> np.ndarray:
    """Terminals int64 [B, T] of documents that are independent of each other."""
    rng = np.random.default_rng((grammar.knobs.seed, stream))
    portions = []
    for first in range(0, n_documents, _PORTION):
        topic_B = rng.integers(grammar.knobs.topics, size=min(_PORTION, n_documents - first))
        portions.append(expand(grammar, draw_roots(grammar, topic_B, rng), rng))
    return np.concatenate(portions)


def draw_roots(grammar: Grammar, topic_B: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Roots int64 [B, M] of the sentences of documents with the given topics."""
    roots = [_draw(grammar.first_root[topic_B], rng)]
    for _ in range(grammar.knobs.sentences - 1):
        roots.append(_draw(grammar.next_root[topic_B, roots[-1]], rng))
    return np.stack(roots, axis=1)


def expand(grammar: Grammar, roots_BM: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Terminals [B, T] of trees with the given roots, sentence after sentence."""
    symbols = roots_BM
    cumulative_SR = grammar.rule_probs.cumsum(axis=1)
    for children_SRJ in grammar.children:
        draw = rng.random(symbols.shape)[..., None]
        rule = (draw > cumulative_SR[symbols, :-1]).sum(axis=-1)
        symbols = children_SRJ[symbols, rule].reshape(len(symbols), -1)
    return symbols


def to_text(terminals_BT: np.ndarray) -> list[str]:
    """Each document as a string, one printable character per terminal."""
    codes = np.frombuffer(ALPHABET.encode("ascii"), np.uint8)[terminals_BT]
    return [row.tobytes().decode("ascii") for row in codes]


def _draw(probs_BS: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One symbol per row of probabilities."""
    below = rng.random(len(probs_BS))[:, None] > probs_BS.cumsum(axis=1)[:, :-1]
    drawn: np.ndarray = below.sum(axis=1)
    return drawn
