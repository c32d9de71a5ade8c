"""Belief propagation on a grammar: exact probabilities of texts and of missing tokens.

A document is a tree (topic, chain of roots, trees of sentences), so two passes of messages give
every marginal exactly (Pearl 1988, "Probabilistic Reasoning in Intelligent Systems", chapter 4).
Upwards, `inside[level]` holds for each node and symbol the probability of what is observed below
it; downwards, the outside message holds the probability of what is observed elsewhere.

Next-token probabilities take no third pass: left of a token the subtrees are complete, right of
it nothing is observed, and a node without observations has an inside message of ones.

Axes: B documents, M sentences, N nodes of one level, S symbols, R rules, J children, Z topics,
T tokens of a document.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scaling.grammar.rules import Grammar

HIDDEN = -1


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Inside:
    """Messages from the tokens towards the roots, each scaled to a largest entry of 1.

    Attributes:
        levels: from roots (0) to tokens (depth), float64 [B, M, N, S].
        log_scale: float64 [B, M], what the scaling of each sentence took away, in nats.
    """

    levels: tuple[np.ndarray, ...]
    log_scale: np.ndarray

    @property
    def roots_BMS(self) -> np.ndarray:
        return self.levels[0][:, :, 0]


def inside(grammar: Grammar, tokens_BT: np.ndarray) -> Inside:
    """The upward pass.

    Args:
        tokens_BT: terminals, or HIDDEN where a token is not observed; T must be whole sentences.
    """
    S = grammar.knobs.symbols
    observed = np.eye(S)[np.where(tokens_BT == HIDDEN, 0, tokens_BT)]
    return inside_of(grammar, np.where((tokens_BT == HIDDEN)[..., None], 1.0, observed))


def inside_of(grammar: Grammar, evidence_BTS: np.ndarray) -> Inside:
    """The upward pass from the probability of what is seen at each token given its symbol."""
    S, J = grammar.knobs.symbols, grammar.knobs.branching
    message = evidence_BTS.reshape(len(evidence_BTS), -1, grammar.knobs.sentence_tokens, S)
    levels = [message]
    log_scale_BM = np.zeros(message.shape[:2])
    for children_SRJ in reversed(grammar.children):
        pairs = message.reshape(*message.shape[:2], -1, J, S)
        product = pairs[..., 0, :][..., children_SRJ[..., 0]]
        for j in range(1, J):
            product = product * pairs[..., j, :][..., children_SRJ[..., j]]
        message = np.einsum("bmnsr,sr->bmns", product, grammar.rule_probs)
        largest = message.max(axis=-1, keepdims=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            message = np.where(largest > 0, message / largest, 0.0)
            log_scale_BM = log_scale_BM + np.log(largest[..., 0]).sum(axis=-1)
        levels.append(message)
    return Inside(levels=tuple(reversed(levels)), log_scale=log_scale_BM)


def log_prob(grammar: Grammar, tokens_BT: np.ndarray) -> np.ndarray:
    """Log-probability in nats [B] of the observed tokens; -inf for what the grammar cannot say."""
    return log_prob_of(grammar, inside(grammar, tokens_BT))


def log_prob_of(grammar: Grammar, up: Inside) -> np.ndarray:
    """Log-probability in nats [B] of what an upward pass has seen."""
    alpha_BZS, total_B = _first(grammar, up), np.zeros(len(up.log_scale))
    for m in range(up.roots_BMS.shape[1]):
        joint_BZS = alpha_BZS * up.roots_BMS[:, m, None]
        sum_B = joint_BZS.sum(axis=(1, 2))
        with np.errstate(divide="ignore", invalid="ignore"):
            total_B = total_B + np.log(sum_B) + up.log_scale[:, m]
            joint_BZS = np.nan_to_num(joint_BZS / sum_B[:, None, None])
        alpha_BZS = np.einsum("bzs,zst->bzt", joint_BZS, grammar.next_root)
    return np.where(np.isnan(total_B), -np.inf, total_B)


def next_token_probs(grammar: Grammar, tokens_BT: np.ndarray) -> np.ndarray:
    """P(token t | observed tokens before t), float64 [B, T, S]."""
    up = inside(grammar, tokens_BT)
    outside = _forward(grammar, up).sum(axis=2)
    return _downward(grammar, up, outside, left_only=True)


def hidden_token_probs(grammar: Grammar, tokens_BT: np.ndarray) -> np.ndarray:
    """P(token t | all observed tokens but t), float64 [B, T, S]."""
    up = inside(grammar, tokens_BT)
    outside = (_forward(grammar, up) * _backward(grammar, up)).sum(axis=2)
    return _downward(grammar, up, outside, left_only=False)


def two_sentence_probs(
    grammar: Grammar, tokens_BT: np.ndarray, root_law_SS: np.ndarray
) -> np.ndarray:
    """P(token t | all observed tokens but t) of two sentences, float64 [B, T, S].

    Args:
        tokens_BT: the first sentence and then the second.
        root_law_SS: P(root of the first, root of the second).
    """
    up = inside(grammar, tokens_BT)
    first_BS, second_BS = up.roots_BMS[:, 0], up.roots_BMS[:, 1]
    outside_BMS = np.stack([second_BS @ root_law_SS.T, first_BS @ root_law_SS], axis=1)
    return _downward(grammar, up, outside_BMS, left_only=False)


def topic_probs(grammar: Grammar, tokens_BT: np.ndarray) -> np.ndarray:
    """P(topic | all observed tokens), float64 [B, Z]."""
    up = inside(grammar, tokens_BT)
    roots_BZS = _forward(grammar, up)[:, 0] * _backward(grammar, up)[:, 0]
    joint_BZ = np.einsum("bzs,bs->bz", roots_BZS, up.roots_BMS[:, 0])
    posterior: np.ndarray = joint_BZ / joint_BZ.sum(axis=-1, keepdims=True)
    return posterior


def _first(grammar: Grammar, up: Inside) -> np.ndarray:
    """Joint prior of topic and first root, [B, Z, S]."""
    prior_ZS = grammar.first_root / grammar.knobs.topics
    return np.broadcast_to(prior_ZS, (len(up.log_scale), *prior_ZS.shape))


def _forward(grammar: Grammar, up: Inside) -> np.ndarray:
    """P(topic, root m, sentences before m), [B, M, Z, S], each scaled to sum to 1."""
    messages = [_first(grammar, up)]
    for m in range(up.roots_BMS.shape[1] - 1):
        joint_BZS = messages[-1] * up.roots_BMS[:, m, None]
        message = np.einsum("bzs,zst->bzt", joint_BZS, grammar.next_root)
        messages.append(message / message.sum(axis=(1, 2), keepdims=True))
    return np.stack(messages, axis=1)


def _backward(grammar: Grammar, up: Inside) -> np.ndarray:
    """P(sentences after m | topic, root m), [B, M, Z, S], each scaled to a largest entry of 1."""
    B, M, S = up.roots_BMS.shape
    messages = [np.ones((B, grammar.knobs.topics, S))]
    for m in range(M - 1, 0, -1):
        joint_BZS = messages[-1] * up.roots_BMS[:, m, None]
        message = np.einsum("bzt,zst->bzs", joint_BZS, grammar.next_root)
        messages.append(message / message.max(axis=(1, 2), keepdims=True))
    return np.stack(messages[::-1], axis=1)


def _downward(
    grammar: Grammar, up: Inside, outside_BMS: np.ndarray, *, left_only: bool
) -> np.ndarray:
    """Outside messages at the tokens, scaled to distributions, [B, T, S].

    Args:
        left_only: only what stands left of a token is observed; siblings to the right of a
            node then tell nothing.
    """
    S, J = grammar.knobs.symbols, grammar.knobs.branching
    outside = outside_BMS[:, :, None]
    for level, children_SRJ in enumerate(grammar.children):
        below = up.levels[level + 1]
        B, M = below.shape[:2]
        siblings = below.reshape(B, M, -1, J, S)
        weighted = outside[..., None] * grammar.rule_probs
        parts = []
        for j in range(J):
            others = weighted
            for i in range(j if left_only else J):
                if i != j:
                    others = others * siblings[..., i, :][..., children_SRJ[..., i]]
            writes = np.eye(S)[children_SRJ[..., j]].reshape(-1, S)
            parts.append(others.reshape(B, M, -1, writes.shape[0]) @ writes)
        outside = np.stack(parts, axis=3).reshape(B, M, -1, S)
        outside = outside / outside.sum(axis=-1, keepdims=True)
    return outside.reshape(len(outside), -1, S)
