"""Batches: what each step reads, as a function of (seed, sequence number) alone.

There is no epoch and no iterator to save: a resumed run asks for the numbers that come next.
Both architectures read the same windows. Pairs for next-sentence prediction: `scaling.pairs`.

Axes: B batch, T sequence.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from scaling.draws import permutation, random_below
from scaling.pairs import PairBatch, PairKind, pairs, unique_pair_tokens, validation_pairs
from scaling.text import TextError, TokenStream, count_text_tokens
from scaling.tokenizer import CLS_ID

__all__ = [
    "PairBatch", "PairKind", "pairs", "unique_pair_tokens", "unique_text_tokens",
    "validation_pairs", "validation_windows", "windows",
]  # fmt: skip

# Keys of the two uses that windows make of random numbers.
_ORDER, _PHASE = 1, 2


def windows(
    stream: TokenStream, *, seq_len: int, seed: int, first_sequence: int, n_sequences: int
) -> np.ndarray:
    """Sequences `first_sequence` and following of a training run.

    A pass cuts the stream into windows of T-1 tokens that do not overlap, from a random offset
    on, and reads them in random order; both are drawn anew for each pass. Where each document
    with its [SEP] is one window long, windows are cut at documents.

    Returns:
        int64 [B, T]: [CLS], then T-1 tokens of the stream.
    Raises:
        TextError: the stream is shorter than a sequence.
    """
    starts = _window_starts(stream, seq_len, seed, first_sequence, n_sequences)
    return _gather(stream, starts, seq_len)


def validation_windows(stream: TokenStream, *, seq_len: int, n_sequences: int) -> np.ndarray:
    """Windows that do not overlap, spread evenly over the stream; the same for every run.

    Returns:
        int64 [B, T]; B is `n_sequences`, or all windows that the stream has if these are fewer.
    Raises:
        TextError: the stream is shorter than a sequence.
    """
    width = _width(stream, seq_len)
    n_sequences = min(n_sequences, len(stream.ids) // width)
    if _documents_are_windows(stream, width):
        starts = np.arange(n_sequences, dtype=np.int64) * stream.n_documents // n_sequences * width
    else:
        starts = np.arange(n_sequences, dtype=np.int64) * len(stream.ids) // n_sequences
    return _gather(stream, starts, seq_len)


def unique_text_tokens(
    stream: TokenStream, *, seq_len: int, n_sequences: int, seed: int = 0
) -> int:
    """Tokens of the stream, separators left out, that the first `n_sequences` windows cover.

    The seed moves the count a little: past one pass by under two windows.
    """
    width = _width(stream, seq_len)
    n_windows = _windows_per_pass(stream, width)
    n_passes, n_rest = divmod(n_sequences, n_windows)
    rest = _window_starts(stream, seq_len, seed, n_passes * n_windows, n_rest)
    phases = _phases(stream, width, seed, np.arange(n_passes))
    starts = np.concatenate([phases, rest])
    ends = np.concatenate([phases + n_windows * width, rest + width])
    return count_text_tokens(stream, starts, ends)


def _width(stream: TokenStream, seq_len: int) -> int:
    width = seq_len - 1
    if len(stream.ids) < width or width < 1:
        raise TextError(
            f"{stream.name} has {len(stream.ids)} tokens, fewer than the {width} that a sequence "
            f"of seq_len={seq_len} takes; give more text or a shorter seq_len"
        )
    return width


@lru_cache(maxsize=4)
def _documents_are_windows(stream: TokenStream, width: int) -> bool:
    return bool((np.diff(stream.document_starts) == width).all())


def _windows_per_pass(stream: TokenStream, width: int) -> int:
    if _documents_are_windows(stream, width):
        return stream.n_documents
    # One width is kept free, so that every offset leaves the same number of windows.
    return max(1, (len(stream.ids) - width + 1) // width)


def _phases(stream: TokenStream, width: int, seed: int, passes: np.ndarray) -> np.ndarray:
    """Where the first window of each pass starts."""
    # Without slack, as where documents are windows, every pass starts at the first token.
    slack = len(stream.ids) - _windows_per_pass(stream, width) * width
    return random_below(min(width, slack + 1), passes, seed, _PHASE)


def _window_starts(
    stream: TokenStream, seq_len: int, seed: int, first_sequence: int, n_sequences: int
) -> np.ndarray:
    width = _width(stream, seq_len)
    n_windows = _windows_per_pass(stream, width)
    starts, number, end = [], first_sequence, first_sequence + n_sequences
    while number < end:
        pass_, index = divmod(number, n_windows)
        order = permutation(n_windows, seed, pass_, _ORDER)
        chosen = order[index : index + end - number]
        phase = _phases(stream, width, seed, np.array([pass_]))
        starts.append(phase + chosen.astype(np.int64) * width)
        number += len(chosen)
    return np.concatenate(starts) if starts else np.zeros(0, np.int64)


def _gather(stream: TokenStream, starts: np.ndarray, seq_len: int) -> np.ndarray:
    ids_BT = np.empty((len(starts), seq_len), np.int64)
    ids_BT[:, 0] = CLS_ID
    ids_BT[:, 1:] = stream.ids[starts[:, None] + np.arange(seq_len - 1)]
    return ids_BT
