"""The validation set that a standard error takes: against the spread of independent tokens."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from scaling.bench.subject import random_text
from scaling.errors import SweepError
from scaling.evaluate.size_of_set import tokens_for_standard_error
from scaling.text import Text, TokenStream
from scaling.tokenizer import BYTES_VOCAB_SIZE, FIRST_TEXT_ID

SEQ_LEN = 32


@pytest.fixture(scope="module")
def text() -> Text:
    """Independent tokens, each equally likely, whose code lengths have a known spread."""
    rng = np.random.default_rng(0)
    ids = rng.integers(FIRST_TEXT_ID, BYTES_VOCAB_SIZE, 200_000).astype(np.uint16)
    # One document, whose last token stays a text token: no separator disturbs the count.
    stream = TokenStream(ids=ids, document_starts=np.array([0, len(ids)]))
    unigram_nats = rng.normal(5.0, 1.0, BYTES_VOCAB_SIZE)
    return dataclasses.replace(
        random_text(BYTES_VOCAB_SIZE), validation=stream, unigram_nats=unigram_nats
    )


@pytest.mark.parametrize("nats", [0.02, 0.01])
def test_it_is_as_large_as_the_spread_asks_for(text: Text, nats: float) -> None:
    spread = text.unigram_nats[FIRST_TEXT_ID:].std()
    n_windows = tokens_for_standard_error(text, SEQ_LEN, nats) // SEQ_LEN
    # The error of the mean of n independent tokens is their spread over the root of n.
    assert n_windows * (SEQ_LEN - 1) == pytest.approx((spread / nats) ** 2, rel=0.2)


def test_an_error_that_the_text_is_too_short_for_is_refused_with_the_least(text: Text) -> None:
    with pytest.raises(SweepError, match=r"takes \d+ windows.* has 6451: give 0\.003 or more"):
        tokens_for_standard_error(text, SEQ_LEN, 0.0005)


@pytest.mark.parametrize("nats", [0.0, -1.0, float("nan"), float("inf")])
def test_an_error_is_a_positive_number(text: Text, nats: float) -> None:
    with pytest.raises(SweepError, match="eval_standard_error"):
        tokens_for_standard_error(text, SEQ_LEN, nats)
