"""What the best possible model makes of a pair of sentences of a grammar.

Two sentences tell of each other through their roots alone, so all that can be known of a pair
follows from the law of two roots: of neighbours, of sentences of two documents, of two that stand
elsewhere in one document. Pairs are whole sentences, half of them right; the model knows the
grammar, and nothing of the documents but the two.

Axes: B pairs, T tokens of a sentence, S symbols, Z topics, M sentences of a document.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from scaling.grammar.inference import HIDDEN, inside, two_sentence_probs
from scaling.grammar.optimum import by_portion, nats_of
from scaling.grammar.rules import Grammar, GrammarError
from scaling.grammar.sampling import draw_roots, expand

# How a wrong second sentence was found: `random`, in another document; `same_document`, elsewhere
# in the document; `swapped`, the next sentence put first (SOP).
Negatives = Literal["random", "same_document", "swapped"]


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


def next_probs(
    grammar: Grammar, negatives: Negatives, first_BT: np.ndarray, second_BT: np.ndarray
) -> np.ndarray:
    """P(the second sentence follows the first | both), float64 [B].

    Args:
        first_BT, second_BT: terminals, or HIDDEN where a token is not observed.
    """

    def measure(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        first_BS, second_BS = _roots(grammar, first), _roots(grammar, second)
        right_B = _likelihood(next_law(grammar), first_BS, second_BS)
        wrong_B = _likelihood(wrong_law(grammar, negatives), first_BS, second_BS)
        probs: np.ndarray = right_B / (right_B + wrong_B)
        return probs

    return by_portion(measure, first_BT, second_BT)


def topic_next_probs(
    grammar: Grammar, negatives: Negatives, first_BT: np.ndarray, second_BT: np.ndarray
) -> np.ndarray:
    """The same of a model that is told of each sentence what it says of its topic and no more.

    Wrong pairs of one document share their topic as right ones do: there it is 1/2.
    """
    if negatives != "random":
        return np.full(len(first_BT), 0.5)

    def measure(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        topics = (_topic(grammar, _roots(grammar, tokens)) for tokens in (first, second))
        together_B = np.prod(list(topics), axis=0).sum(axis=1)
        probs: np.ndarray = together_B / (together_B + 1 / grammar.knobs.topics)
        return probs

    return by_portion(measure, first_BT, second_BT)


def credit(probs_B: np.ndarray, is_next_B: np.ndarray) -> np.ndarray:
    """1 for a right answer, 0 for a wrong one, 1/2 where both answers are equally likely."""
    tie_B = np.isclose(probs_B, 0.5, rtol=1e-9, atol=0.0)
    return np.where(tie_B, 0.5, (probs_B > 0.5) == is_next_B)


def hidden_pair_nats(
    grammar: Grammar,
    negatives: Negatives,
    first_BT: np.ndarray,
    second_BT: np.ndarray,
    hidden_BT: np.ndarray,
) -> np.ndarray:
    """-log P(token | tokens of both sentences that are not hidden), 0 where one is not hidden.

    Whether the pair is a right one is not known either.

    Args:
        hidden_BT: of the first sentence and then of the second, [B, 2 T].
    Returns:
        float64 [B, 2 T].
    """
    law_SS = (next_law(grammar) + wrong_law(grammar, negatives)) / 2

    def measure(first: np.ndarray, second: np.ndarray, hidden: np.ndarray) -> np.ndarray:
        tokens = np.concatenate([first, second], axis=1)
        probs = two_sentence_probs(grammar, np.where(hidden, HIDDEN, tokens), law_SS)
        return np.where(hidden, nats_of(probs, tokens), 0.0)

    return by_portion(measure, first_BT, second_BT, hidden_BT)


def pair_accuracy(
    grammar: Grammar, negatives: Negatives, *, n_pairs: int = 20_000, seed: int = 0
) -> Accuracy:
    """How well next-sentence or sentence-order prediction can be done, half of the pairs right.

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
    right_B = credit(next_probs(grammar, negatives, first_BT, second_BT), is_next_B)
    topic_only = None
    if negatives != "swapped":
        topic_B = topic_next_probs(grammar, negatives, first_BT, second_BT)
        topic_only = float(credit(topic_B, is_next_B).mean())
    return Accuracy(
        value=float(right_B.mean()),
        standard_error=float(right_B.std(ddof=1) / np.sqrt(n_pairs)),
        topic_only=topic_only,
    )


def next_law(grammar: Grammar) -> np.ndarray:
    """P(root, next root), [S, S]."""
    law: np.ndarray = np.einsum("zs,zst->st", grammar.first_root, grammar.next_root)
    return law / grammar.knobs.topics


def wrong_law(grammar: Grammar, negatives: Negatives) -> np.ndarray:
    """P(root of the first, root of the second sentence of a wrong pair), [S, S]."""
    if negatives == "swapped":
        return next_law(grammar).T
    prior_ZS = grammar.first_root / grammar.knobs.topics
    if negatives == "random":
        root_S = prior_ZS.sum(axis=0)
        return np.outer(root_S, root_S)
    M = grammar.knobs.sentences
    joint = np.zeros_like(grammar.next_root)
    for place in range(M - 1):
        for other in (i for i in range(M) if i not in (place, place + 1)):
            steps = np.linalg.matrix_power(grammar.next_root, abs(other - place))
            law = prior_ZS[..., None] * steps
            joint += law if other > place else law.swapaxes(1, 2)
    total: np.ndarray = joint.sum(axis=0) / joint.sum()
    return total


def _draw_pairs(
    grammar: Grammar, negatives: Negatives, n_pairs: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First and second sentence [B, T], and whether the second follows."""
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


def _roots(grammar: Grammar, tokens_BT: np.ndarray) -> np.ndarray:
    """P(what is observed of a sentence | its root), up to a factor, [B, S]."""
    return inside(grammar, tokens_BT).roots_BMS[:, 0]


def _likelihood(law_SS: np.ndarray, first_BS: np.ndarray, second_BS: np.ndarray) -> np.ndarray:
    likelihood: np.ndarray = ((first_BS @ law_SS) * second_BS).sum(axis=1)
    return likelihood


def _topic(grammar: Grammar, roots_BS: np.ndarray) -> np.ndarray:
    """P(topic | one sentence), [B, Z]."""
    joint_BZ = roots_BS @ grammar.first_root.T
    posterior: np.ndarray = joint_BZ / joint_BZ.sum(axis=1, keepdims=True)
    return posterior
