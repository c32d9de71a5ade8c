"""How text becomes positions of a model, and which positions a word has.

[CLS] one [SEP], or [CLS] one [SEP] two [SEP]. What does not fit is cut at the end and reported.
Words are found by their bytes, so the same code serves bytes and BPE.
"""

# Axes: T positions, W words.

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scaling.tokenizer import CLS_ID, SEP_ID, Tokenizer


@dataclass(frozen=True, kw_only=True, slots=True)
class Laid:
    """One example as the model reads it.

    Attributes:
        ids_T: int64, specials included.
        n_first: positions of the first segment, its [CLS] and [SEP] included.
        words_W2: first and last position of each word that fits whole.
        is_cut: whether some text did not fit.
    """

    ids_T: np.ndarray
    n_first: int
    words_W2: np.ndarray
    is_cut: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """Lays texts out over at most `seq_len` positions."""

    tokenizer: Tokenizer
    seq_len: int

    def one(self, text: str, words_W2: Sequence[tuple[int, int]] = ()) -> Laid:
        """[CLS] text [SEP].

        Args:
            words_W2: first byte and end byte of each word in the text's UTF-8.
        """
        ids, is_cut = self._fit(text, self.seq_len - 2)
        words = self._positions(ids, words_W2, offset=1)
        return Laid(
            ids_T=np.concatenate([[CLS_ID], ids, [SEP_ID]]),
            n_first=len(ids) + 2,
            words_W2=words,
            is_cut=is_cut,
        )

    def two(self, one: str, two: str, words_W2: Sequence[tuple[int, int]] = ()) -> Laid:
        """[CLS] one [SEP] two [SEP]; words are those of the second text.

        The first keeps at most half of the room, the second what is left.
        """
        first, first_cut = self._fit(one, (self.seq_len - 3) // 2)
        second, second_cut = self._fit(two, self.seq_len - 3 - len(first))
        words = self._positions(second, words_W2, offset=len(first) + 2)
        return Laid(
            ids_T=np.concatenate([[CLS_ID], first, [SEP_ID], second, [SEP_ID]]),
            n_first=len(first) + 2,
            words_W2=words,
            is_cut=first_cut or second_cut,
        )

    def _fit(self, text: str, room: int) -> tuple[np.ndarray, bool]:
        ids = self.tokenizer.encode(text)
        return ids[:room], len(ids) > room

    def _positions(
        self, ids: np.ndarray, words_W2: Sequence[tuple[int, int]], offset: int
    ) -> np.ndarray:
        """The positions that hold the first and the last byte of each word that is whole."""
        if not len(words_W2):
            return np.zeros((0, 2), np.int64)
        starts, ends = np.asarray(words_W2, np.int64).T
        token_ends = np.cumsum(self.tokenizer.bytes_per_id[ids])
        fits = ends <= (token_ends[-1] if len(ids) else 0)
        first = np.searchsorted(token_ends, starts[fits], side="right")
        last = np.searchsorted(token_ends, ends[fits] - 1, side="right")
        return np.stack([first, last], axis=1) + offset


def byte_spans(text: str, spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Character spans of a text as spans of its UTF-8."""
    if text.isascii():
        return list(spans)
    before = np.concatenate([[0], np.cumsum([len(character.encode()) for character in text])])
    return [(int(before[start]), int(before[end])) for start, end in spans]
