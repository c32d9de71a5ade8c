"""Windows: functions of (seed, number) that read each token at most once in a pass."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling.batches import unique_text_tokens, validation_windows, windows
from scaling.text import TextError, TokenStream
from scaling.tokenizer import CLS_ID, SEP_ID

SEEDED = settings(deadline=None, derandomize=True)


def make_stream(n_tokens: int, *, document_tokens: int = 10**9) -> TokenStream:
    """A stream whose id at place i is i + 4, so that windows tell where they are from."""
    starts = [*range(0, n_tokens, document_tokens), n_tokens]
    ids = np.arange(n_tokens, dtype=np.uint32) + 4
    ids[np.array(starts[1:]) - 1] = SEP_ID
    return TokenStream(ids=ids, document_starts=np.array(starts), name="the stream")


def places(stream: TokenStream, windows_BT: np.ndarray) -> np.ndarray:
    """Where each window starts; fails if one is no piece of the stream."""
    assert (windows_BT[:, 0] == CLS_ID).all()
    # Of two ids next to each other at most one is a separator, as documents are longer.
    first = np.where(windows_BT[:, 1] > SEP_ID, windows_BT[:, 1] - 4, windows_BT[:, 2] - 5)
    for start, window in zip(first, windows_BT, strict=True):
        assert np.array_equal(window[1:], stream.ids[start : start + len(window) - 1])
    return first


def n_per_pass(stream: TokenStream, seq_len: int) -> int:
    return max(1, (len(stream.ids) - seq_len + 2) // (seq_len - 1))


sizes = st.tuples(st.integers(8, 24), st.integers(0, 400)).map(lambda s: (s[0], s[0] + s[1]))


@SEEDED
@given(sizes, st.integers(0, 2**40), st.integers(0, 3))
def test_pass_reads_each_token_at_most_once(size: tuple[int, int], seed: int, pass_: int) -> None:
    seq_len, n_tokens = size
    stream = make_stream(n_tokens, document_tokens=17)
    n_windows = n_per_pass(stream, seq_len)
    read = windows(
        stream, seq_len=seq_len, seed=seed, first_sequence=pass_ * n_windows,
        n_sequences=n_windows,
    )  # fmt: skip
    first = np.sort(places(stream, read))
    assert (np.diff(first) == seq_len - 1).all()
    # What is left over at both ends is less than two windows.
    assert n_tokens - n_windows * (seq_len - 1) < 2 * (seq_len - 1)


@SEEDED
@given(st.integers(0, 10**6), st.integers(1, 40), st.integers(0, 40), st.integers(0, 9))
def test_sequences_depend_on_seed_and_number_alone(
    first: int, n_sequences: int, cut: int, seed: int
) -> None:
    stream = make_stream(300)

    def read(first: int, n_sequences: int) -> np.ndarray:
        return windows(stream, seq_len=16, seed=seed, first_sequence=first, n_sequences=n_sequences)

    whole, cut = read(first, n_sequences), min(cut, n_sequences)
    in_parts = np.concatenate([read(first, cut), read(first + cut, n_sequences - cut)])
    assert whole.shape == (n_sequences, 16)
    assert whole.dtype == np.int64
    assert np.array_equal(whole, in_parts)


def test_order_and_offset_are_drawn_anew_for_each_pass_and_seed() -> None:
    stream = make_stream(10_000)
    n_windows = n_per_pass(stream, 101)
    read = [
        places(stream, windows(stream, seq_len=101, seed=seed, first_sequence=pass_ * n_windows,
                               n_sequences=n_windows))
        for seed in (0, 1) for pass_ in range(30)
    ]  # fmt: skip
    assert len({tuple(np.argsort(starts)) for starts in read}) == 60
    offsets = [starts.min() for starts in read]
    assert 0 <= min(offsets) < 15
    assert 85 < max(offsets) < 100


def test_stream_of_one_window() -> None:
    stream = make_stream(15)
    read = windows(stream, seq_len=16, seed=3, first_sequence=5, n_sequences=4)
    assert places(stream, read).tolist() == [0, 0, 0, 0]


@SEEDED
@given(sizes, st.integers(1, 60))
def test_validation_windows_are_apart_and_evenly_spread(
    size: tuple[int, int], n_sequences: int
) -> None:
    seq_len, n_tokens = size
    stream = make_stream(n_tokens, document_tokens=17)
    read = validation_windows(stream, seq_len=seq_len, n_sequences=n_sequences)
    first = places(stream, read)
    assert len(read) == min(n_sequences, n_tokens // (seq_len - 1))
    assert (np.diff(first) >= seq_len - 1).all()
    assert np.ptp([*np.diff(first), n_tokens - first[-1]]) <= 1
    assert first[0] == 0


@SEEDED
@given(sizes, st.integers(0, 150), st.integers(0, 5))
def test_unique_tokens_are_those_seen(size: tuple[int, int], n_sequences: int, seed: int) -> None:
    seq_len, n_tokens = size
    stream = make_stream(n_tokens, document_tokens=17)
    read = windows(stream, seq_len=seq_len, seed=seed, first_sequence=0, n_sequences=n_sequences)
    seen = np.unique(read[:, 1:])
    counted = unique_text_tokens(stream, seq_len=seq_len, n_sequences=n_sequences, seed=seed)
    assert counted == (seen >= 4).sum()


def test_stream_shorter_than_a_sequence() -> None:
    stream = make_stream(126)
    message = "the stream has 126 tokens, fewer than the 127 that a sequence of seq_len=128 takes"
    with pytest.raises(TextError, match=message):
        windows(stream, seq_len=128, seed=0, first_sequence=0, n_sequences=1)
    with pytest.raises(TextError, match=message):
        validation_windows(stream, seq_len=128, n_sequences=1)


def test_batch_costs_microseconds() -> None:
    stream = make_stream(5_000_000)
    seconds = []
    for step in range(400):
        start = time.perf_counter()
        windows(stream, seq_len=128, seed=0, first_sequence=step * 16, n_sequences=16)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 100e-6


@pytest.mark.slow
def test_a_billion_tokens() -> None:
    n_tokens = 10**9
    # One id stands for all, without the memory of all.
    stream = TokenStream(
        ids=np.broadcast_to(np.uint16(7), n_tokens), document_starts=np.array([0, n_tokens])
    )
    start = time.perf_counter()
    windows(stream, seq_len=128, seed=0, first_sequence=0, n_sequences=16)
    assert time.perf_counter() - start < 20
    assert unique_text_tokens(stream, seq_len=128, n_sequences=1000) == 127_000
