"""Measures of variety by hand, and self-BLEU against the library."""

from __future__ import annotations

import math

import pytest
from sacrebleu import sentence_bleu

from scaling.evaluate.diversity import (
    distinct,
    diversity,
    repetition,
    self_bleu,
    unigram_entropy_nats,
)


def test_entropy_by_hand() -> None:
    # a a b c: 1/2, 1/4, 1/4
    assert unigram_entropy_nats(["aab", "c"]) == pytest.approx(1.5 * math.log(2))
    assert unigram_entropy_nats(["aa", "a"]) == 0.0


def test_distinct_by_hand() -> None:
    # abab: ab ba ab; abc: ab bc: 3 of 5 differ.
    assert distinct(["abab", "abc"], 2) == pytest.approx(3 / 5)
    assert distinct(["abab", "abc"], 1) == pytest.approx(3 / 7)
    assert distinct(["a", "b"], 2) == 0.0


def test_repetition_by_hand() -> None:
    # abab has 3 pairs of which one is a repetition, abc none; a has none at all and is left out.
    assert repetition(["abab", "abc", "a"], 2) == pytest.approx((1 / 3 + 0) / 2)


def test_self_bleu_of_equal_and_of_unlike_texts() -> None:
    assert self_bleu(["abcdef", "abcdef", "abcdef"]) == pytest.approx(100)
    # One letter of 6 matches, and no longer n-gram: 0.1 of 5, 4 and 3.
    expected = 100 * (1 * 0.1**3 / (6 * 5 * 4 * 3)) ** 0.25
    assert self_bleu(["abcdef", "ghijka"]) == pytest.approx(expected)
    assert self_bleu(["abcdef", "ghijkl"]) == 0.0


def test_self_bleu_by_hand() -> None:
    # a b c d x against a b c d y: 4/5, 3/4, 2/3 and 1/2 match.
    expected = 100 * (4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25
    assert self_bleu(["abcdx", "abcdy"]) == pytest.approx(expected)


def test_self_bleu_is_the_librarys_on_words() -> None:
    texts = ["the cat sat on the mat today", "the dog sat on the mat", "a cat sat on a mat today"]
    expected = [
        sentence_bleu(
            text, [other for other in texts if other != text], tokenize="none",
            smooth_method="floor", smooth_value=0.1, use_effective_order=True,
        ).score
        for text in texts
    ]  # fmt: skip
    assert self_bleu([text.split() for text in texts]) == pytest.approx(sum(expected) / 3)


def test_all_measures_of_tokens() -> None:
    found = diversity([[5, 6, 7, 8, 5], [5, 6, 7, 8, 5], [8, 7, 6, 5, 5]])
    assert found["unique_texts"] == pytest.approx(2 / 3)
    assert found["repetition_4"] == 0.0
    assert set(found) == {
        "unigram_entropy_nats", "distinct_1", "distinct_2", "distinct_3", "distinct_4",
        "repetition_4", "self_bleu_4", "unique_texts",
    }  # fmt: skip
