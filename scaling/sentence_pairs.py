"""Pairs of whole sentences: where A and B lie when both are cut at sentences.

Each half of the sequence takes as many whole sentences as it holds, at least one. A lies before a
cut between two sentences of one document and B after it; a wrong B is found by the negatives:

- `random`: after a cut of another document, as far from its start as right ones are from theirs;
- `same_document`: at any other sentence of the document, and not overlapping A;
- `swapped`: the right one, put before A (Lan et al. 2020, arXiv:1909.11942, section 3.1).

Cuts and places are drawn before the label. The lengths are those of the text, of which a reader
sees as much as of its words.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from scaling.draws import random_below, random_bits
from scaling.grammar.pairs import Negatives
from scaling.sentences import Sentences
from scaling.text import TextError

# Keys of the draws that make one pair; apart from those of `scaling.pairs`.
_LABEL, _CUT, _OTHER = 31, 32, 33


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Places:
    """Where segments may lie.

    Attributes:
        starts, ends: int64 [P], segments of whole sentences that follow a place, by place.
        first, last: int64 [P], the places of its document: range(first, last).
        cuts: int64 [C], places that have a sentence before them, which A may end with.
        a_starts: int64 [C], where A starts that ends at the cut.
        cuts_before: int64 [D + 1], cuts of the documents before each.
        documents: int64 [P], the document of each place.
    """

    starts: np.ndarray
    ends: np.ndarray
    first: np.ndarray
    last: np.ndarray
    cuts: np.ndarray
    a_starts: np.ndarray
    cuts_before: np.ndarray
    documents: np.ndarray


def sentence_spans(
    sentences: Sentences,
    negatives: Negatives,
    *,
    seq_len: int,
    seed: int,
    first_sequence: int,
    n_sequences: int,
) -> tuple[np.ndarray, ...]:
    """Start and length of A, start and length of B, and whether B follows A; each [B].

    Raises:
        TextError: the text has no such pairs.
    """
    places = _places(sentences, (seq_len - 3) // 2, negatives)
    number = np.arange(first_sequence, first_sequence + n_sequences)
    label = random_bits(number // 2, seed, _LABEL) & np.uint64(1)
    is_next = label.astype(np.int64) != number % 2
    cut = random_below(len(places.cuts), number, seed, _CUT)
    place = places.cuts[cut]
    start_a, end_a = places.a_starts[cut], places.starts[place]
    if negatives == "swapped":
        start_b, end_b = end_a, places.ends[place]
        return (
            np.where(is_next, start_a, start_b),
            np.where(is_next, end_a - start_a, end_b - start_b),
            np.where(is_next, start_b, start_a),
            np.where(is_next, end_b - start_b, end_a - start_a),
            is_next,
        )
    if negatives == "random":
        other = places.cuts[_cut_elsewhere(places, place, number, seed)]
    else:
        other = _place_elsewhere(places, cut, number, seed)
    place_b = np.where(is_next, place, other)
    start_b = places.starts[place_b]
    return start_a, end_a - start_a, start_b, places.ends[place_b] - start_b, is_next


def _cut_elsewhere(places: Places, place: np.ndarray, number: np.ndarray, seed: int) -> np.ndarray:
    """A cut of any other document."""
    document = places.documents[place]
    begin, end = places.cuts_before[document], places.cuts_before[document + 1]
    draw = random_below(len(places.cuts) - (end - begin), number, seed, _OTHER)
    found: np.ndarray = np.where(draw >= begin, draw + end - begin, draw)
    return found


def _place_elsewhere(places: Places, cut: np.ndarray, number: np.ndarray, seed: int) -> np.ndarray:
    """A place of the same document whose segment neither overlaps A nor follows it."""
    before, after = _room(places, cut)
    draw = random_below(before + after, number, seed, _OTHER)
    place = places.cuts[cut]
    found: np.ndarray = np.where(
        draw < before, places.first[place] + draw, place + 1 + draw - before
    )
    return found


def _room(places: Places, cut: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places before A, and after the right one, that a wrong B of the document may take."""
    place = places.cuts[cut]
    # Ends ascend over the stream, and those of earlier documents lie before this one.
    ended = np.searchsorted(places.ends, places.a_starts[cut], side="right")
    return np.maximum(ended - places.first[place], 0), places.last[place] - place - 1


@lru_cache(maxsize=8)
def _places(sentences: Sentences, half: int, negatives: Negatives) -> Places:
    starts, ends, documents = sentences.starts, sentences.ends, sentences.documents
    fits = ends - starts <= half
    at = np.flatnonzero(fits)
    n_documents = int(documents[-1]) + 1 if len(documents) else 0
    last_of = np.searchsorted(documents, np.arange(n_documents), side="right") - 1
    first_of = np.searchsorted(documents, np.arange(n_documents), side="left")
    # The last sentence of the document that ends within the half.
    reach = np.searchsorted(ends, starts[at] + half, side="right") - 1
    reach = np.minimum(reach, last_of[documents[at]])
    begins = np.searchsorted(documents[at], np.arange(n_documents + 1), side="left")
    cuts = np.flatnonzero((at > first_of[documents[at]]) & np.append(False, fits)[at])
    sentence = at[cuts]
    back = np.searchsorted(starts, starts[sentence] - half, side="left")
    back = np.maximum(back, first_of[documents[sentence]])
    found = Places(
        starts=starts[at],
        ends=ends[reach],
        first=begins[documents[at]],
        last=begins[documents[at] + 1],
        cuts=cuts,
        a_starts=starts[back],
        cuts_before=np.searchsorted(documents[at][cuts], np.arange(n_documents + 1), side="left"),
        documents=documents[at],
    )
    if negatives == "same_document":
        before, after = _room(found, np.arange(len(cuts)))
        found = _with_cuts(found, before + after > 0)
    _check(found, half, negatives)
    return found


def _with_cuts(places: Places, keep: np.ndarray) -> Places:
    cuts = places.cuts[keep]
    documents = np.arange(len(places.cuts_before))
    return Places(
        starts=places.starts, ends=places.ends, first=places.first, last=places.last,
        cuts=cuts, a_starts=places.a_starts[keep],
        cuts_before=np.searchsorted(places.documents[cuts], documents, side="left"),
        documents=places.documents,
    )  # fmt: skip


def _check(places: Places, half: int, negatives: Negatives) -> None:
    needed = 2 if negatives == "random" else 1
    found = int((np.diff(places.cuts_before) > 0).sum())
    if found < needed:
        raise TextError(
            f"{found} documents have neighbouring sentences of at most {half} tokens for pairs "
            f"with {negatives} negatives, and those need {needed}; give a longer seq_len, more "
            "text, or pair_cut anywhere"
        )
