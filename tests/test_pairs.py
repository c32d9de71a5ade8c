"""Pairs: spans of the right documents, whose form says nothing about their label."""

import time
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from scaling.batches import PairBatch, pairs, unique_pair_tokens, validation_pairs
from scaling.text import TextError, TokenStream
from scaling.tokenizer import CLS_ID, PAD_ID, SEP_ID

SEEDED = settings(deadline=None, derandomize=True)


def make_stream(lengths: list[int]) -> TokenStream:
    """Documents of so many tokens; the id at place i is i + 4, so spans tell their places."""
    starts = np.concatenate([[0], np.cumsum(np.array(lengths) + 1)])
    ids = np.arange(starts[-1], dtype=np.uint32) + 4
    ids[starts[1:] - 1] = SEP_ID
    return TokenStream(ids=ids, document_starts=starts, name="the stream")


class Pair(NamedTuple):
    start_a: int
    end_a: int
    start_b: int
    end_b: int
    document_a: int
    document_b: int
    is_next: bool


def taken_apart(stream: TokenStream, batch: PairBatch) -> list[Pair]:
    """The spans of each pair; fails if its form is not [CLS] A [SEP] B [SEP] [PAD]..."""
    result = []
    for ids, segments, valid, is_next in zip(
        batch.ids_BT, batch.segment_ids_BT, batch.valid_BT, batch.is_next_B, strict=True
    ):
        n_valid = int(valid.sum())
        assert valid.tolist() == [True] * n_valid + [False] * (len(ids) - n_valid)
        assert (ids[n_valid:] == PAD_ID).all()
        assert ids[0] == CLS_ID
        middle, last = np.flatnonzero(ids == SEP_ID)
        assert last == n_valid - 1
        in_b = [middle < position <= last for position in range(len(ids))]
        assert segments.tolist() == [int(inside) for inside in in_b]
        spans = ids[1:middle] - 4, ids[middle + 1 : last] - 4
        for span in spans:
            assert len(span) >= 1
            assert (np.diff(span) == 1).all()
        documents = [
            int(np.searchsorted(stream.document_starts, span[0], side="right")) - 1
            for span in spans
        ]
        result.append(
            Pair(spans[0][0], spans[0][-1] + 1, spans[1][0], spans[1][-1] + 1, *documents, is_next)
        )
    return result


documents = st.lists(st.integers(0, 40), min_size=2, max_size=12).filter(
    lambda lengths: sum(length >= 2 for length in lengths) >= 2
)


@SEEDED
@given(documents, st.integers(5, 32), st.integers(0, 2**40), st.integers(0, 10**6))
def test_pairs_are_what_their_label_says(
    lengths: list[int], seq_len: int, seed: int, first: int
) -> None:
    stream = make_stream(lengths)
    batch = pairs(stream, seq_len=seq_len, seed=seed, first_sequence=first, n_sequences=40)
    assert batch.ids_BT.shape == batch.segment_ids_BT.shape == batch.valid_BT.shape == (40, seq_len)
    for pair in taken_apart(stream, batch):
        for start, end, document in (pair[:2] + pair[4:5], pair[2:4] + pair[5:6]):
            assert stream.document_starts[document] <= start
            assert end <= stream.document_starts[document + 1] - 1
            assert lengths[document] >= 2
        if pair.is_next:
            assert pair.start_b == pair.end_a
            assert pair.document_a == pair.document_b
        else:
            assert pair.document_a != pair.document_b


@SEEDED
@given(st.integers(0, 10**6), st.integers(0, 30), st.integers(0, 5))
def test_pairs_depend_on_seed_and_number_alone(first: int, cut: int, seed: int) -> None:
    stream = make_stream([50, 20, 90])

    def read(first: int, n_sequences: int) -> PairBatch:
        return pairs(stream, seq_len=24, seed=seed, first_sequence=first, n_sequences=n_sequences)

    whole, one, two = read(first, 30), read(first, cut), read(first + cut, 30 - cut)
    for name in ("ids_BT", "segment_ids_BT", "valid_BT", "is_next_B"):
        parts = np.concatenate([getattr(one, name), getattr(two, name)])
        assert np.array_equal(getattr(whole, name), parts)


def test_labels_are_balanced_and_not_in_turn() -> None:
    stream = make_stream([50, 20, 90])
    batch = pairs(stream, seq_len=24, seed=1, first_sequence=0, n_sequences=4000)
    assert (batch.is_next_B.reshape(-1, 2).sum(1) == 1).all()
    # Each half of the sequences is balanced as well: four standard deviations of a fair coin.
    assert abs(batch.is_next_B[::2].sum() - 1000) < 4 * (2000 * 0.25) ** 0.5


def test_documents_come_up_in_proportion_to_their_length() -> None:
    lengths = np.array([40, 1, 100, 0, 160, 300])
    stream = make_stream(lengths.tolist())
    batch = pairs(stream, seq_len=16, seed=2, first_sequence=0, n_sequences=6000)
    drawn = np.bincount([p.document_a for p in taken_apart(stream, batch)], minlength=6)
    kept = lengths >= 2
    assert drawn[~kept].sum() == 0
    expected = lengths[kept] / lengths[kept].sum() * 6000
    assert stats.chisquare(drawn[kept], expected).pvalue > 0.001


def test_other_document_comes_up_in_proportion_among_the_others() -> None:
    stream = make_stream([100, 200, 300])
    batch = pairs(stream, seq_len=16, seed=2, first_sequence=0, n_sequences=12_000)
    others = [
        p.document_b for p in taken_apart(stream, batch) if not p.is_next and not p.document_a
    ]
    drawn = np.bincount(others, minlength=3)
    assert stats.chisquare(drawn[1:], np.array([0.4, 0.6]) * drawn.sum()).pvalue > 0.001


def test_most_pairs_fill_the_sequence() -> None:
    stream = make_stream([500] * 10)
    batch = pairs(stream, seq_len=64, seed=3, first_sequence=0, n_sequences=4000)
    is_full = batch.valid_BT.all(1)
    # A tenth is cut to 2..61 text tokens, one in 60 of them to the full 61.
    assert is_full.mean() == pytest.approx(0.9 + 0.1 / 60, abs=4 * (0.9 * 0.1 / 4000) ** 0.5)


def test_form_says_nothing_about_the_label() -> None:
    """Documents of 5 tokens among long ones: lengths and places have the same distribution."""
    stream = make_stream([5, 400, 5, 60] * 20)
    batch = pairs(stream, seq_len=64, seed=4, first_sequence=0, n_sequences=20_000)
    found = taken_apart(stream, batch)
    begins = stream.document_starts
    for measure in (
        lambda pair: pair.end_a - pair.start_a,
        lambda pair: pair.end_b - pair.start_b,
        lambda pair: pair.end_a - pair.start_a + pair.end_b - pair.start_b,
        lambda pair: pair.start_a - begins[pair.document_a],
        lambda pair: pair.start_b - begins[pair.document_b],
    ):
        of_next = [measure(pair) for pair in found if pair.is_next]
        of_other = [measure(pair) for pair in found if not pair.is_next]
        assert stats.ks_2samp(of_next, of_other).pvalue > 0.001


def test_validation_pairs_are_fixed_and_start_the_same() -> None:
    stream = make_stream([50, 20, 90])
    short = validation_pairs(stream, seq_len=24, n_sequences=10)
    long = validation_pairs(stream, seq_len=24, n_sequences=20)
    assert np.array_equal(short.ids_BT, long.ids_BT[:10])
    train = pairs(stream, seq_len=24, seed=0, first_sequence=0, n_sequences=10)
    assert not np.array_equal(short.ids_BT, train.ids_BT)


@SEEDED
@given(documents, st.integers(0, 60), st.integers(0, 5))
def test_unique_tokens_are_those_seen(lengths: list[int], n_sequences: int, seed: int) -> None:
    stream = make_stream(lengths)
    batch = pairs(stream, seq_len=20, seed=seed, first_sequence=0, n_sequences=n_sequences)
    seen = np.unique(batch.ids_BT)
    counted = unique_pair_tokens(stream, seq_len=20, n_sequences=n_sequences, seed=seed)
    assert counted == (seen >= 4).sum()


@pytest.mark.parametrize("lengths", [[500], [500, 1, 1, 0]])
def test_fewer_than_two_documents(lengths: list[int]) -> None:
    with pytest.raises(TextError, match="the stream has 1 documents of 2 tokens or more, and pair"):
        validation_pairs(make_stream(lengths), seq_len=24, n_sequences=1)


def test_sequence_without_room() -> None:
    with pytest.raises(TextError, match="seq_len=4 leaves no room for a pair; give at least 5"):
        validation_pairs(make_stream([9, 9]), seq_len=4, n_sequences=1)


def test_batch_costs_under_a_millisecond() -> None:
    stream = make_stream([2000] * 1000)
    seconds = []
    for step in range(300):
        start = time.perf_counter()
        pairs(stream, seq_len=128, seed=0, first_sequence=step * 16, n_sequences=16)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 1e-3
