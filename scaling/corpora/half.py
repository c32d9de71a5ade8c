"""Corpus `half:first:CORPUS` or `half:second:CORPUS`: half of another corpus's train split.

For two models that must not have read the same documents, such as one that writes and one that
judges what was written. A document goes by the hash of its content, as in the split for
validation, so exact copies fall on one side; the validation split is the same for both halves.
"""

from __future__ import annotations

import dataclasses
import hashlib

from scaling.corpora.documents import Corpus, CorpusError, corpus_of

KIND = "half"
HALVES = ("first", "second")


def parse_half(place: str) -> tuple[str, str]:
    """Which half, and of which corpus.

    Raises:
        CorpusError: neither half is named, or no corpus.
    """
    which, _, corpus = place.partition(":")
    if which not in HALVES or not corpus:
        raise CorpusError(
            f"corpus='{KIND}:{place}' names no half of a corpus; write {KIND}:first:CORPUS or "
            f"{KIND}:second:CORPUS"
        )
    if corpus.partition(":")[0] == KIND:
        raise CorpusError(f"corpus='{KIND}:{place}' is a half of a half; halve the whole corpus")
    return which, corpus


def halve(corpus: Corpus, which: str) -> Corpus:
    """The corpus with one half of its train documents.

    Raises:
        CorpusError: none falls into this half.
    """
    name = f"{KIND}:{which}:{corpus.name}"
    kept = [document for document in corpus.train if half_of(document) == which]
    if not kept:
        raise CorpusError(
            f"corpus={name!r}: none of {len(corpus.train)} train documents falls into the "
            f"{which} half, by hash of their content; give more documents"
        )
    halved = corpus_of(name, kept, corpus.validation, corpus.split)
    return dataclasses.replace(
        halved,
        n_empty=corpus.n_empty,
        ignored_files=corpus.ignored_files,
        stopped_at=corpus.stopped_at,
    )


def half_of(document: str) -> str:
    # The first eight bytes decide about validation: another one decides here.
    return HALVES[hashlib.sha256(document.encode()).digest()[8] % 2]
