"""Corpora: where text comes from. A new one is one file and one line in `CORPORA`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from scaling.corpora.documents import Corpus, CorpusError
from scaling.corpora.files import read_files
from scaling.corpora.hub import read_hub
from scaling.corpora.stdlib_text import read_stdlib_text

__all__ = ["CORPORA", "Corpus", "CorpusError", "read_documents"]

# Each reads a place, and may keep under the cache what is dear to fetch again.
CORPORA: dict[str, Callable[[str, Path | None], Corpus]] = {
    "stdlib_text": read_stdlib_text,
    "files": read_files,
    "hub": read_hub,
}


def read_documents(corpus: str, *, cache: Path | None = None) -> Corpus:
    """Reads a corpus by name: `stdlib_text`, `files:PATH` or `hub:NAME?option=value`.

    Raises:
        CorpusError: the name is unknown, or what it names cannot be read.
    """
    kind, _, place = corpus.partition(":")
    if kind not in CORPORA:
        raise CorpusError(f"corpus={corpus!r} is unknown; known: stdlib_text, files:PATH, hub:NAME")
    return CORPORA[kind](place, cache)
