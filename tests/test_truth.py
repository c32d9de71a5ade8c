"""Samples against a grammar: validity, and the noisy channel against enumeration."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from scaling.evaluate.truth import against_truth, terminals
from scaling.grammar.inference import HIDDEN, log_prob
from scaling.grammar.noisy import NOISE, is_valid, noisy_log_prob, true_log_prob
from scaling.grammar.rules import Grammar, GrammarKnobs, make_grammar
from scaling.grammar.sampling import VALIDATION, draw_documents
from scaling.tokenizer import CLS_ID, FIRST_TEXT_ID, MASK_ID, SEP_ID

N_TOKENS = 256
FOREIGN = 94


@pytest.fixture(scope="module")
def grammar() -> Grammar:
    return make_grammar(GrammarKnobs(depth=1, symbols=3, rules=2, sentences=2, topics=2))


def windows(tokens_BT: np.ndarray) -> np.ndarray:
    ids_BT = tokens_BT + FIRST_TEXT_ID + ord("!")
    ends = np.ones((len(ids_BT), 1), np.int64)
    return np.hstack([ends * CLS_ID, ids_BT, ends * SEP_ID])


def enumerated(grammar: Grammar, seen: tuple[int, ...]) -> float:
    """The channel by its definition, over all documents of the grammar."""
    documents = np.array(list(itertools.product(range(3), repeat=4)))
    probs = np.exp(log_prob(grammar, documents))
    assert probs.sum() == pytest.approx(1)
    total = 0.0
    for document, probability in zip(documents, probs, strict=True):
        for token, said in zip(document, seen, strict=True):
            if said != HIDDEN:
                probability *= NOISE / N_TOKENS + (1 - NOISE) * (token == said)
        total += probability
    return math.log(total)


@pytest.mark.parametrize(
    "seen", [(0, 1, 2, 0), (0, 0, 0, 0), (FOREIGN, 1, 2, 1), (HIDDEN, 1, HIDDEN, FOREIGN)]
)
def test_the_channel_equals_its_definition(grammar: Grammar, seen: tuple[int, ...]) -> None:
    found = noisy_log_prob(grammar, np.array([seen]), N_TOKENS)
    assert found[0] == pytest.approx(enumerated(grammar, seen), abs=1e-10)


def test_a_sentence_is_valid_iff_the_grammar_writes_it(grammar: Grammar) -> None:
    written = {tuple(pair) for pair in grammar.children[0].reshape(-1, 2).tolist()}
    pairs = list(itertools.product([0, 1, 2, FOREIGN], repeat=2))
    tokens_BT = np.array([[*pair, *sorted(written)[0]] for pair in pairs])
    found_BM = is_valid(grammar, tokens_BT)
    assert found_BM[:, 0].tolist() == [pair in written for pair in pairs]
    assert found_BM[:, 1].all()
    assert 0 < found_BM[:, 0].sum() < len(pairs)
    assert np.isfinite(true_log_prob(grammar, tokens_BT)).tolist() == found_BM[:, 0].tolist()


def test_real_documents_score_as_the_entropy_says() -> None:
    grammar = make_grammar(GrammarKnobs(depth=2, symbols=4, rules=2, sentences=2, topics=2))
    real_BT = draw_documents(grammar, 2000, stream=VALIDATION)
    windows_BT = windows(real_BT)
    canvases_BT = np.where(windows_BT >= FIRST_TEXT_ID, MASK_ID, windows_BT)
    true_B = log_prob(grammar, real_BT)
    found = against_truth(grammar, windows_BT, canvases_BT, true_B)
    assert found["valid_documents"] == found["valid_sentences"] == 1.0
    assert found["valid_sentence_count"] == 4000
    assert found["valid_log_prob_nats"] == pytest.approx(true_B.mean() / 8)
    # What is right costs -log(1 - NOISE) per token, less what noise could have made of it.
    gap = found["valid_log_prob_nats"] - found["noisy_log_prob_nats"]
    assert 0 < gap <= -math.log(1 - NOISE) + 1e-9
    # Drawn from the truth with its own probabilities: no divergence but the channel's.
    assert found["kl_nats"] == pytest.approx(gap)
    assert found["kl_kind"] == "exact"


def test_a_filled_gap_is_measured_given_both_sides() -> None:
    grammar = make_grammar(GrammarKnobs(depth=2, symbols=4, rules=2, sentences=2, topics=2))
    windows_BT = windows(draw_documents(grammar, 300, stream=VALIDATION))
    canvases_BT = windows_BT.copy()
    canvases_BT[:, 3:7] = MASK_ID
    found = against_truth(grammar, windows_BT, canvases_BT, None)
    given_B = log_prob(grammar, terminals(canvases_BT))
    whole_B = log_prob(grammar, terminals(windows_BT))
    assert found["valid_log_prob_nats"] == pytest.approx((whole_B - given_B).mean() / 4)
    assert "kl_nats" not in found


def test_wrong_documents_have_no_true_log_probability(grammar: Grammar) -> None:
    windows_BT = windows(np.full((5, 4), 60))
    canvases_BT = np.where(windows_BT >= FIRST_TEXT_ID, MASK_ID, windows_BT)
    found = against_truth(grammar, windows_BT, canvases_BT, None)
    assert found["valid_log_prob_nats"] is None
    assert found["valid_documents"] == 0.0
    assert found["noisy_log_prob_nats"] == pytest.approx(math.log(NOISE / N_TOKENS))


def test_terminals_of_ids() -> None:
    ids_BT = np.array([[CLS_ID, FIRST_TEXT_ID + 33, FIRST_TEXT_ID + 34, MASK_ID, 4, 259, SEP_ID]])
    assert terminals(ids_BT).tolist() == [[0, 1, HIDDEN, FOREIGN, FOREIGN]]
