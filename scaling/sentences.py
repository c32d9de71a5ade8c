"""Where the sentences of a text begin: pairs that are cut there end and start as their labels
would have it, and not in the middle of a word that a reader could complete.

A generated language says how long its sentences are. In natural text a sentence ends at ., ! or ?
before a space, and at the end of a line, which is all that tokens of every tokenizer can tell:
abbreviations make some sentences too short.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from scaling.corpora.grammar import known_grammar
from scaling.text import Text, TokenStream
from scaling.tokenizer import Tokenizer

_MARKS = (b".", b"!", b"?")
_CLOSING = b"\"')]"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Sentences:
    """The sentences of a stream in its order, separators left out.

    Attributes:
        starts, ends: int64 [S], the tokens of sentence s are `ids[starts[s] : ends[s]]`.
        documents: int64 [S], the document of each.
    """

    starts: np.ndarray
    ends: np.ndarray
    documents: np.ndarray


@lru_cache(maxsize=4)
def sentences_of(text: Text, stream: TokenStream) -> Sentences:
    """The sentences of one split of a text; documents without a token have none."""
    grammar = known_grammar(text.corpus)
    if grammar is not None and text.tokenizer.name == "bytes":
        begins = _begins_regularly(stream, grammar.knobs.sentence_tokens)
    else:
        begins = _begins_by_marks(stream, text.tokenizer)
    first, end = stream.document_starts[:-1], stream.document_starts[1:] - 1
    begins[first] = True
    begins[end] = False  # a separator is no sentence, nor is an empty document
    starts = np.flatnonzero(begins)
    documents = np.searchsorted(first, starts, side="right") - 1
    following = np.append(starts[1:], len(stream.ids))
    return Sentences(starts=starts, ends=np.minimum(following, end[documents]), documents=documents)


def _begins_regularly(stream: TokenStream, sentence_tokens: int) -> np.ndarray:
    place = np.arange(len(stream.ids))
    lengths = np.diff(stream.document_starts)
    in_document = place - np.repeat(stream.document_starts[:-1], lengths)
    begins: np.ndarray = in_document % sentence_tokens == 0
    return begins


def _begins_by_marks(stream: TokenStream, tokenizer: Tokenizer) -> np.ndarray:
    pieces = tokenizer.pieces
    ends_mark = np.array([piece.rstrip(_CLOSING).endswith(_MARKS) for piece in pieces])
    ends_line = np.array([piece.endswith(b"\n") for piece in pieces])
    is_space = np.array([piece.startswith(b" ") for piece in pieces])
    is_line = np.array([piece.startswith(b"\n") for piece in pieces])
    before, here = np.asarray(stream.ids[:-1]), np.asarray(stream.ids[1:])
    begins = np.zeros(len(stream.ids), bool)
    begins[1:] = (ends_mark[before] & is_space[here]) | (ends_line[before] & ~is_line[here])
    return begins
