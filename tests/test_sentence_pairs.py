"""Pairs of whole sentences: what each kind of negatives promises."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling.batches import PairKind, pairs, unique_pair_tokens
from scaling.grammar.pairs import Negatives
from scaling.sentences import Sentences
from scaling.text import TextError, TokenStream
from scaling.tokenizer import SEP_ID
from tests.test_pairs import taken_apart

SEEDED = settings(deadline=None, derandomize=True)
KINDS = ("random", "same_document", "swapped")


class Cut(NamedTuple):
    stream: TokenStream
    sentences: Sentences


def make_cut(documents: list[list[int]]) -> Cut:
    """Documents of sentences of so many tokens; the id at place i is i + 4."""
    starts, ends, of, document_starts = [], [], [], [0]
    place = 0
    for number, lengths in enumerate(documents):
        for length in lengths:
            starts.append(place)
            place += length
            ends.append(place)
            of.append(number)
        place += 1
        document_starts.append(place)
    ids = np.arange(place, dtype=np.uint32) + 4
    ids[np.array(document_starts[1:]) - 1] = SEP_ID
    return Cut(
        TokenStream(ids=ids, document_starts=np.array(document_starts), name="the stream"),
        Sentences(starts=np.array(starts), ends=np.array(ends), documents=np.array(of)),
    )


texts = st.lists(st.lists(st.integers(1, 12), min_size=0, max_size=9), min_size=1, max_size=8).map(
    lambda documents: [*documents, [3, 4, 2, 5], [2, 2, 9, 2, 3]]
)


@SEEDED
@given(texts, st.sampled_from(KINDS), st.integers(0, 10**6))
def test_pairs_are_what_their_label_says(
    documents: list[list[int]], negatives: Negatives, seed: int
) -> None:
    stream, sentences = make_cut(documents)
    batch = pairs(
        stream, seq_len=21, seed=seed, first_sequence=0, n_sequences=40,
        kind=PairKind(negatives=negatives, sentences=sentences),
    )  # fmt: skip
    begins, ends = set(sentences.starts.tolist()), set(sentences.ends.tolist())
    assert (batch.is_next_B.reshape(-1, 2).sum(axis=1) == 1).all()
    for pair in taken_apart(stream, batch):
        for start, end in (pair[:2], pair[2:4]):
            assert start in begins
            assert end in ends
            assert end - start <= 9
        if pair.is_next:
            assert pair.start_b == pair.end_a
            assert pair.document_a == pair.document_b
        elif negatives == "random":
            assert pair.document_a != pair.document_b
        elif negatives == "swapped":
            assert pair.start_a == pair.end_b
            assert pair.document_a == pair.document_b
        else:
            assert pair.document_a == pair.document_b
            assert pair.start_b > pair.end_a or pair.end_b <= pair.start_a


def test_a_half_takes_as_many_whole_sentences_as_it_holds() -> None:
    stream, sentences = make_cut([[4, 3, 5, 2, 6], [20, 1]])
    batch = pairs(
        stream, seq_len=21, seed=0, first_sequence=0, n_sequences=200,
        kind=PairKind(negatives="swapped", sentences=sentences),
    )  # fmt: skip
    found = {pair[:4] for pair in taken_apart(stream, batch) if pair.is_next}
    # The sentence of 20 tokens fits no half, so nothing is cut before or after it.
    assert found == {(0, 4, 4, 12), (0, 7, 7, 14), (4, 12, 12, 20), (7, 14, 14, 20)}


def test_wrong_pairs_of_a_document_come_from_everywhere_else_equally() -> None:
    """Four sentences of four tokens: each cut meets both of the other two sentences."""
    stream, sentences = make_cut([[4, 4, 4, 4]])
    batch = pairs(
        stream, seq_len=11, seed=3, first_sequence=0, n_sequences=6000,
        kind=PairKind(negatives="same_document", sentences=sentences),
    )  # fmt: skip
    wrong = [pair for pair in taken_apart(stream, batch) if not pair.is_next]
    counts = Counter((pair.start_a // 4, pair.start_b // 4) for pair in wrong)
    assert set(counts) == {(0, 2), (0, 3), (1, 0), (1, 3), (2, 0), (2, 1)}
    # 3000 draws of six kinds: four standard deviations.
    assert all(abs(n - 500) < 4 * (3000 * 5 / 36) ** 0.5 for n in counts.values())


def test_a_place_after_a_cut_is_as_likely_in_a_wrong_pair_as_in_a_right_one() -> None:
    """No sentence that begins a document is a second one, whatever the label."""
    stream, sentences = make_cut([[4, 4, 4], [4, 4], [4, 4, 4, 4]] * 5)
    batch = pairs(
        stream, seq_len=11, seed=1, first_sequence=0, n_sequences=4000,
        kind=PairKind(sentences=sentences),
    )  # fmt: skip
    first_of = stream.document_starts[:-1]
    assert not any(pair.start_b in first_of for pair in taken_apart(stream, batch))


@pytest.mark.parametrize("negatives", KINDS)
def test_unique_tokens_are_those_seen(negatives: Negatives) -> None:
    stream, sentences = make_cut([[4, 3, 5, 2, 6], [7, 1, 4], [2, 2, 2]])
    kind = PairKind(negatives=negatives, sentences=sentences)
    batch = pairs(stream, seq_len=21, seed=0, first_sequence=0, n_sequences=5, kind=kind)
    counted = unique_pair_tokens(stream, seq_len=21, n_sequences=5, kind=kind)
    assert counted == (np.unique(batch.ids_BT) >= 4).sum()


@pytest.mark.parametrize(("negatives", "needed"), [("random", 2), ("same_document", 1)])
def test_a_text_without_such_pairs(negatives: Negatives, needed: int) -> None:
    stream, sentences = make_cut([[4, 4], [30, 30]])
    found = {"random": 1, "same_document": 0}[negatives]
    with pytest.raises(TextError, match=f"{found} documents .* and those need {needed}; give"):
        pairs(
            stream, seq_len=21, seed=0, first_sequence=0, n_sequences=2,
            kind=PairKind(negatives=negatives, sentences=sentences),
        )  # fmt: skip
