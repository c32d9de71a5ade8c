"""Sentence pairs for next-sentence prediction: [CLS] A [SEP] B [SEP].

Half of the pairs are consecutive spans of one document, half are spans of two documents (Devlin
et al. 2018, arXiv:1810.04805, section 3.1, task 2). Here a pair's lengths and both places are
drawn before its label, so neither lengths nor places say anything about the label. Spans are cut
anywhere, or at sentences: `scaling.sentence_pairs`, which knows harder negatives as well.

Axes: B batch, T sequence.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from scaling.draws import random_below, random_bits
from scaling.grammar.pairs import Negatives
from scaling.sentence_pairs import sentence_spans
from scaling.sentences import Sentences
from scaling.text import TextError, TokenStream, count_text_tokens
from scaling.tokenizer import CLS_ID, PAD_ID, SEP_ID

SHORT_PAIR_SHARE = 0.1  # pairs shorter than the sequence, as in the original's data
_MIN_DOCUMENT_TOKENS = 2
_PORTION_SEQUENCES = 2**18
# Fixes the validation pairs; apart from every seed that a run may take.
_VALIDATION_SEED = -1
# Keys of the draws that make one pair.
_LABEL, _FIRST, _OTHER, _SHORT, _LENGTH, _CUT, _PLACE_A, _PLACE_B = range(11, 19)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PairBatch:
    """Pairs of spans, padded to one length.

    Attributes:
        ids_BT: int64, [CLS] A [SEP] B [SEP] [PAD]...
        segment_ids_BT: int64, 0 up to the first [SEP] and on padding, 1 on B and its [SEP].
        valid_BT: bool, False on padding.
        is_next_B: bool, whether B continues A in one document.
    """

    ids_BT: np.ndarray
    segment_ids_BT: np.ndarray
    valid_BT: np.ndarray
    is_next_B: np.ndarray


@dataclass(frozen=True, kw_only=True, slots=True)
class PairKind:
    """Which pairs are drawn.

    Attributes:
        negatives: where a wrong second segment comes from; `swapped`, both in the wrong order.
        sentences: those of the stream, to cut it at; None to cut it anywhere, which gives
            `random` and `swapped` negatives only.
    """

    negatives: Negatives = "random"
    sentences: Sentences | None = None


RANDOM_SPANS = PairKind()


def pairs(
    stream: TokenStream,
    *,
    seq_len: int,
    seed: int,
    first_sequence: int,
    n_sequences: int,
    kind: PairKind = RANDOM_SPANS,
) -> PairBatch:
    """Pairs `first_sequence` and following of a training run.

    Documents come up in proportion to their length; those of a single token cannot be split and
    never come up. Sequences 2j and 2j+1 carry opposite labels, in random order.

    Raises:
        TextError: `seq_len` leaves no room, or too few documents can be split.
    """
    starts_a, lengths_a, starts_b, lengths_b, is_next = _spans(
        stream, kind, seq_len, seed, first_sequence, n_sequences
    )
    position = np.arange(seq_len)
    end_a, start_b = (1 + lengths_a)[:, None], (2 + lengths_a)[:, None]
    end_b = start_b + lengths_b[:, None]
    in_b = position >= start_b
    place = np.where(in_b, starts_b[:, None] - start_b, starts_a[:, None] - 1) + position
    ids_BT = stream.ids.take(place, mode="clip").astype(np.int64)
    ids_BT[:, 0] = CLS_ID
    ids_BT[(position == end_a) | (position == end_b)] = SEP_ID
    valid_BT = position <= end_b
    ids_BT[~valid_BT] = PAD_ID
    return PairBatch(
        ids_BT=ids_BT,
        segment_ids_BT=(in_b & valid_BT).astype(np.int64),
        valid_BT=valid_BT,
        is_next_B=is_next,
    )


def validation_pairs(
    stream: TokenStream, *, seq_len: int, n_sequences: int, kind: PairKind = RANDOM_SPANS
) -> PairBatch:
    """The fixed pairs of a validation split; the same for every run.

    Raises:
        TextError: `seq_len` leaves no room, or too few documents can be split.
    """
    return pairs(
        stream,
        seq_len=seq_len,
        seed=_VALIDATION_SEED,
        first_sequence=0,
        n_sequences=n_sequences,
        kind=kind,
    )


def unique_pair_tokens(
    stream: TokenStream,
    *,
    seq_len: int,
    n_sequences: int,
    seed: int = 0,
    kind: PairKind = RANDOM_SPANS,
) -> int:
    """Tokens of the stream that the first `n_sequences` pairs of a training run cover."""
    starts, ends = [], []
    for first in range(0, n_sequences, _PORTION_SEQUENCES):
        portion = min(_PORTION_SEQUENCES, n_sequences - first)
        start_a, length_a, start_b, length_b, _ = _spans(
            stream, kind, seq_len, seed, first, portion
        )
        starts += [start_a, start_b]
        ends += [start_a + length_a, start_b + length_b]
    if not starts:
        return 0
    return count_text_tokens(stream, np.concatenate(starts), np.concatenate(ends))


def _spans(
    stream: TokenStream,
    kind: PairKind,
    seq_len: int,
    seed: int,
    first_sequence: int,
    n_sequences: int,
) -> tuple[np.ndarray, ...]:
    """Start and length of A, start and length of B, and whether B follows A; each [B]."""
    if seq_len < 5:
        raise TextError(f"seq_len={seq_len} leaves no room for a pair; give at least 5")
    if kind.sentences is not None:
        return sentence_spans(
            kind.sentences,
            kind.negatives,
            seq_len=seq_len,
            seed=seed,
            first_sequence=first_sequence,
            n_sequences=n_sequences,
        )
    assert kind.negatives != "same_document", "a spec with such negatives cuts at sentences"
    starts, lengths, cumulative = _splittable(stream)
    number = np.arange(first_sequence, first_sequence + n_sequences)
    label = random_bits(number // 2, seed, _LABEL) & np.uint64(1)
    is_next = label.astype(np.int64) != number % 2

    draw = random_below(int(cumulative[-1]), number, seed, _FIRST)
    first = np.searchsorted(cumulative, draw, side="right") - 1
    # The other document is drawn from what is left when the first is taken out.
    draw = random_below(cumulative[-1] - lengths[first], number, seed, _OTHER)
    draw = np.where(draw >= cumulative[first], draw + lengths[first], draw)
    other = np.searchsorted(cumulative, draw, side="right") - 1

    # Both documents bound the length, whatever the label, or short pairs would be telltale.
    room = np.minimum(seq_len - 3, np.minimum(lengths[first], lengths[other]))
    is_short = random_below(2**32, number, seed, _SHORT) < SHORT_PAIR_SHARE * 2**32
    length = np.where(is_short, 2 + random_below(room - 1, number, seed, _LENGTH), room)
    length_a = 1 + random_below(length - 1, number, seed, _CUT)

    place_a = random_below(lengths[first] - length + 1, number, seed, _PLACE_A)
    place_b = random_below(lengths[other] - length + 1, number, seed, _PLACE_B)
    start_a = starts[first] + place_a
    if kind.negatives == "swapped":
        length_b = length - length_a
        return (
            np.where(is_next, start_a, start_a + length_a),
            np.where(is_next, length_a, length_b),
            np.where(is_next, start_a + length_a, start_a),
            np.where(is_next, length_b, length_a),
            is_next,
        )
    start_b = length_a + np.where(is_next, start_a, starts[other] + place_b)
    return start_a, length_a, start_b, length - length_a, is_next


@lru_cache(maxsize=4)
def _splittable(stream: TokenStream) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Starts and lengths in text tokens of the documents that pairs may come from, and the
    lengths summed up from 0."""
    lengths = np.diff(stream.document_starts) - 1
    kept = lengths >= _MIN_DOCUMENT_TOKENS
    if kept.sum() < 2:
        raise TextError(
            f"{stream.name} has {kept.sum()} documents of {_MIN_DOCUMENT_TOKENS} tokens or more, "
            "and pairs need two; give more documents, or an objective without pairs"
        )
    lengths = lengths[kept]
    return stream.document_starts[:-1][kept], lengths, np.concatenate([[0], np.cumsum(lengths)])
