"""Belief propagation against the sum over all derivations, written out."""

import itertools
import math

import numpy as np
import pytest

from scaling.grammar.inference import (
    HIDDEN,
    hidden_token_probs,
    log_prob,
    next_token_probs,
    topic_probs,
)
from scaling.grammar.rules import Grammar, GrammarKnobs, make_grammar
from scaling.grammar.sampling import TRAIN, draw_documents

TINY = [
    GrammarKnobs(depth=2, symbols=2, rules=2, topics=2, sentences=2, seed=1),
    GrammarKnobs(depth=1, branching=3, symbols=3, rules=4, zipf=0.5, topics=3, sentences=2, seed=2),
    GrammarKnobs(depth=3, symbols=2, rules=1, topics=1, sentences=1, seed=3),
]


def sentence_probs(grammar: Grammar, root: int) -> dict[tuple[int, ...], float]:
    """Every sentence that `root` can become, by expanding symbols one at a time."""
    found = {(root,): 1.0}
    for children in grammar.children:
        expanded: dict[tuple[int, ...], float] = {}
        for symbols, prob in found.items():
            for rules in itertools.product(range(grammar.knobs.rules), repeat=len(symbols)):
                text = tuple(
                    int(child)
                    for s, r in zip(symbols, rules, strict=True)
                    for child in children[s, r]
                )
                weight = math.prod(
                    grammar.rule_probs[s, r] for s, r in zip(symbols, rules, strict=True)
                )
                expanded[text] = expanded.get(text, 0.0) + prob * weight
        found = expanded
    return found


def enumerate_documents(grammar: Grammar) -> dict[tuple[int, tuple[int, ...]], float]:
    """(topic, document) -> probability, over all roots and derivations."""
    knobs = grammar.knobs
    sentences = [sentence_probs(grammar, root) for root in range(knobs.symbols)]
    found: dict[tuple[int, tuple[int, ...]], float] = {}
    for topic in range(knobs.topics):
        for roots in itertools.product(range(knobs.symbols), repeat=knobs.sentences):
            prior = grammar.first_root[topic, roots[0]] / knobs.topics
            for before, after in itertools.pairwise(roots):
                prior *= grammar.next_root[topic, before, after]
            for parts in itertools.product(*(sentences[root].items() for root in roots)):
                text = tuple(token for sentence, _ in parts for token in sentence)
                weight = prior * math.prod(prob for _, prob in parts)
                found[topic, text] = found.get((topic, text), 0.0) + weight
    return found


@pytest.fixture(params=TINY, ids=["binary", "ternary", "no choice"])
def grammar(request: pytest.FixtureRequest) -> Grammar:
    return make_grammar(request.param)


def conditional(
    joint: dict[tuple[int, tuple[int, ...]], float], seen: dict[int, int], place: int, symbols: int
) -> np.ndarray:
    probs = np.zeros(symbols)
    for (_, text), weight in joint.items():
        if all(text[t] == token for t, token in seen.items()):
            probs[text[place]] += weight
    return probs / probs.sum()


def test_probabilities_sum_to_one_and_equal_the_enumeration(grammar: Grammar) -> None:
    joint = enumerate_documents(grammar)
    truth: dict[tuple[int, ...], float] = {}
    for (_, text), weight in joint.items():
        truth[text] = truth.get(text, 0.0) + weight
    assert math.fsum(truth.values()) == pytest.approx(1, abs=1e-12)
    found = np.exp(log_prob(grammar, np.array(list(truth))))
    np.testing.assert_allclose(found, list(truth.values()), rtol=1e-10)


def test_partly_hidden_texts_have_the_probability_of_all_their_completions(
    grammar: Grammar,
) -> None:
    joint = enumerate_documents(grammar)
    rng = np.random.default_rng(0)
    for tokens in draw_documents(grammar, 5, stream=TRAIN):
        hidden = rng.random(len(tokens)) < 0.5
        truth = math.fsum(
            weight
            for (_, text), weight in joint.items()
            if (np.array(text)[~hidden] == tokens[~hidden]).all()
        )
        found = log_prob(grammar, np.where(hidden, HIDDEN, tokens)[None])[0]
        assert found == pytest.approx(math.log(truth), abs=1e-10)


def test_next_token_probabilities_equal_the_enumeration(grammar: Grammar) -> None:
    joint = enumerate_documents(grammar)
    documents = draw_documents(grammar, 3, stream=TRAIN)
    found = next_token_probs(grammar, documents)
    for row, tokens in enumerate(documents):
        for place in range(len(tokens)):
            seen = dict(enumerate(tokens[:place]))
            truth = conditional(joint, seen, place, grammar.knobs.symbols)
            np.testing.assert_allclose(found[row, place], truth, atol=1e-10)


def test_hidden_token_probabilities_equal_the_enumeration(grammar: Grammar) -> None:
    joint = enumerate_documents(grammar)
    rng = np.random.default_rng(0)
    documents = draw_documents(grammar, 4, stream=TRAIN)
    hidden = rng.random(documents.shape) < np.array([0.2, 0.5, 0.8, 1.0])[:, None]
    found = hidden_token_probs(grammar, np.where(hidden, HIDDEN, documents))
    for row, tokens in enumerate(documents):
        for place in range(len(tokens)):
            seen = {t: token for t, token in enumerate(tokens) if t != place and not hidden[row, t]}
            truth = conditional(joint, seen, place, grammar.knobs.symbols)
            np.testing.assert_allclose(found[row, place], truth, atol=1e-10)


def test_topic_posterior_equals_the_enumeration(grammar: Grammar) -> None:
    joint = enumerate_documents(grammar)
    documents = draw_documents(grammar, 3, stream=TRAIN)
    found = topic_probs(grammar, documents)
    for row, tokens in enumerate(documents):
        weights = [joint.get((z, tuple(tokens)), 0.0) for z in range(grammar.knobs.topics)]
        np.testing.assert_allclose(found[row], np.array(weights) / sum(weights), atol=1e-10)


def test_chain_of_next_token_probabilities_is_the_probability_of_the_text() -> None:
    grammar = make_grammar(GrammarKnobs(depth=4, symbols=12, rules=6, sentences=5))
    documents = draw_documents(grammar, 50, stream=TRAIN)
    probs = next_token_probs(grammar, documents)
    chain = np.log(np.take_along_axis(probs, documents[..., None], axis=2)).sum(axis=(1, 2))
    np.testing.assert_allclose(chain, log_prob(grammar, documents), rtol=1e-10)


def test_what_the_grammar_cannot_say_has_no_probability() -> None:
    grammar = make_grammar(GrammarKnobs(depth=2, symbols=8, rules=1, sentences=1))
    documents = np.random.default_rng(0).integers(8, size=(64, 4))
    found = log_prob(grammar, documents)
    possible = {text for root in range(8) for text in sentence_probs(grammar, root)}
    assert [tuple(d) in possible for d in documents] == list(np.isfinite(found))
    assert not np.isfinite(found).all()
