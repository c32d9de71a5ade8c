"""What the best possible model reaches on a grammar: losses in nats per token, and accuracies.

Each loss is measured on given documents, so that a model and the optimum are compared on the same
targets: the difference then has far less sampling error than either.

Axes: B documents, T tokens of a document, S symbols, Z topics.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from scaling.grammar.inference import (
    HIDDEN,
    hidden_token_probs,
    inside,
    next_token_probs,
)
from scaling.grammar.rules import Grammar, GrammarError
from scaling.grammar.sampling import draw_roots, expand

# How the second of two sentences was found: `random`, from another document; `same_document`,
# from elsewhere in the document; `swapped`, the next sentence put first (SOP).
Negatives = Literal["random", "same_document", "swapped"]
_PORTION = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class Accuracy:
    """Share of pairs that the best possible classifier gets right, with its standard error.

    Attributes:
        topic_only: the share that it gets right from what each sentence alone says of its topic;
            None where that says nothing, as for swapped sentences.
    """

    value: float
    standard_error: float
    topic_only: float | None


def next_token_nats(grammar: Grammar, documents_BT: np.ndarray) -> np.ndarray:
    """-log P(token | tokens before it), float64 [B, T]."""
    return _by_portion(
        lambda tokens: _nats(next_token_probs(grammar, tokens), tokens), documents_BT
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
        return np.where(hidden, _nats(probs(grammar, seen), tokens), 0.0)

    return _by_portion(measure, documents_BT, hidden_BT)


def pair_accuracy(
    grammar: Grammar, negatives: Negatives, *, n_pairs: int = 20_000, seed: int = 0
) -> Accuracy:
    """How well next-sentence or sentence-order prediction can be done, half of the pairs positive.

    Pairs are whole sentences; the classifier knows the grammar and nothing of the document but
    the two.

    Raises:
        GrammarError: documents are too short for such negatives.
    """
    needed = 3 if negatives == "same_document" else 2
    if grammar.knobs.sentences < needed:
        raise GrammarError(
            f"sentences={grammar.knobs.sentences} per document leave no pair with "
            f"{negatives} negatives; give at least sentences={needed}"
        )
    rng = np.random.default_rng((grammar.knobs.seed, 3, seed))
    first_BT, second_BT, is_next_B = _draw_pairs(grammar, negatives, n_pairs, rng)
    first_BS = inside(grammar, first_BT).roots_BMS[:, 0]
    second_BS = inside(grammar, second_BT).roots_BMS[:, 0]
    positive_B = _pair_likelihood(_next_law(grammar), first_BS, second_BS)
    if negatives == "swapped":
        negative_B = _pair_likelihood(_next_law(grammar), second_BS, first_BS)
    else:
        negative_B = _pair_likelihood(_negative_law(grammar, negatives), first_BS, second_BS)
    right_B = _credit(positive_B, negative_B, is_next_B)
    topic_only = None
    if negatives == "random":
        together_B = (_topic(grammar, first_BS) * _topic(grammar, second_BS)).sum(axis=1)
        prior_B = np.full(n_pairs, 1 / grammar.knobs.topics)
        topic_only = float(_credit(together_B, prior_B, is_next_B).mean())
    elif negatives == "same_document":
        topic_only = 0.5
    return Accuracy(
        value=float(right_B.mean()),
        standard_error=float(right_B.std(ddof=1) / np.sqrt(n_pairs)),
        topic_only=topic_only,
    )


def _draw_pairs(
    grammar: Grammar, negatives: Negatives, n_pairs: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First and second sentence [B, sentence_tokens], and whether the second follows."""
    M = grammar.knobs.sentences
    rows = np.arange(n_pairs)
    roots_BM = draw_roots(grammar, rng.integers(grammar.knobs.topics, size=n_pairs), rng)
    is_next_B = rng.random(n_pairs) < 0.5
    at_B = rng.integers(M - 1, size=n_pairs)
    after_B = at_B + 1
    first_B, second_B = roots_BM[rows, at_B], roots_BM[rows, after_B]
    if negatives == "random":
        others_BM = draw_roots(grammar, rng.integers(grammar.knobs.topics, size=n_pairs), rng)
        other_B = others_BM[rows, rng.integers(M, size=n_pairs)]
    elif negatives == "same_document":
        elsewhere_B = rng.integers(M - 2, size=n_pairs)
        elsewhere_B = np.where(elsewhere_B >= at_B, elsewhere_B + 2, elsewhere_B)
        other_B = roots_BM[rows, elsewhere_B]
    else:
        other_B = first_B
        first_B = np.where(is_next_B, first_B, second_B)
    second_B = np.where(is_next_B, second_B, other_B)
    return (
        expand(grammar, first_B[:, None], rng),
        expand(grammar, second_B[:, None], rng),
        is_next_B,
    )


def _next_law(grammar: Grammar) -> np.ndarray:
    """P(topic, root, next root), [Z, S, S]."""
    law: np.ndarray = grammar.first_root[..., None] * grammar.next_root / grammar.knobs.topics
    return law


def _negative_law(grammar: Grammar, negatives: Negatives) -> np.ndarray:
    """P(topic, root of the first, root of the second sentence), summed over places."""
    prior_ZS = grammar.first_root / grammar.knobs.topics
    if negatives == "random":
        root_S = prior_ZS.sum(axis=0)
        independent: np.ndarray = (root_S[:, None] * root_S)[None]
        return independent
    M = grammar.knobs.sentences
    joint = np.zeros_like(grammar.next_root)
    for place in range(M - 1):
        for other in (i for i in range(M) if i not in (place, place + 1)):
            steps = np.linalg.matrix_power(grammar.next_root, abs(other - place))
            law = prior_ZS[..., None] * steps
            joint += law if other > place else law.swapaxes(1, 2)
    total: np.ndarray = joint / joint.sum()
    return total


def _pair_likelihood(
    law_ZSS: np.ndarray, first_BS: np.ndarray, second_BS: np.ndarray
) -> np.ndarray:
    likelihood: np.ndarray = np.einsum("bs,zst,bt->b", first_BS, law_ZSS, second_BS, optimize=True)
    return likelihood


def _topic(grammar: Grammar, roots_BS: np.ndarray) -> np.ndarray:
    """P(topic | one sentence), [B, Z]."""
    joint_BZ = roots_BS @ grammar.first_root.T
    posterior: np.ndarray = joint_BZ / joint_BZ.sum(axis=1, keepdims=True)
    return posterior


def _credit(positive_B: np.ndarray, negative_B: np.ndarray, is_next_B: np.ndarray) -> np.ndarray:
    """1 for a right answer, 0 for a wrong one, 1/2 where both answers are equally likely."""
    tie_B = np.isclose(positive_B, negative_B, rtol=1e-9, atol=0.0)
    return np.where(tie_B, 0.5, (positive_B > negative_B) == is_next_B)


def _nats(probs_BTS: np.ndarray, tokens_BT: np.ndarray) -> np.ndarray:
    nats: np.ndarray = -np.log(np.take_along_axis(probs_BTS, tokens_BT[..., None], axis=2))[..., 0]
    return nats


def _by_portion(measure: Callable[..., np.ndarray], *arrays: np.ndarray) -> np.ndarray:
    """Applies `measure` to some rows at a time: messages take S x R numbers per node."""
    return np.concatenate(
        [
            measure(*(array[first : first + _PORTION] for array in arrays))
            for first in range(0, len(arrays[0]), _PORTION)
        ]
    )
