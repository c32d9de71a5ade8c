"""Corpora: where text comes from. A new one is one file and one line in `CORPORA`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from scaling.corpora.documents import Corpus, CorpusError
from scaling.corpora.files import files_of, read_files
from scaling.corpora.grammar import read_grammar
from scaling.corpora.half import halve, parse_half
from scaling.corpora.hub import hub_files, read_hub
from scaling.corpora.stdlib_text import read_stdlib_text, stdlib_files
from scaling.words import close_name

__all__ = ["CORPORA", "Corpus", "CorpusError", "read_documents", "sources"]


def _read_half(place: str, cache: Path | None) -> Corpus:
    which, corpus = parse_half(place)
    return halve(read_documents(corpus, cache=cache), which)


def _files_of_whole(place: str, cache: Path | None) -> list[Path] | None:
    kind, _, whole = parse_half(place)[1].partition(":")
    return SOURCES[kind](whole, cache) if kind in SOURCES else None


# Each reads a place, and may keep under the cache what is dear to fetch again.
CORPORA: dict[str, Callable[[str, Path | None], Corpus]] = {
    "stdlib_text": read_stdlib_text,
    "files": read_files,
    "hub": read_hub,
    "grammar": read_grammar,
    "half": _read_half,
}


_KNOWN = "stdlib_text, files:PATH, hub:NAME, grammar:KNOB=VALUE,..., half:first:CORPUS"

# The files that a corpus consists of, so that it is read once only. None, or no line here: it is
# read by every worker.
SOURCES: dict[str, Callable[[str, Path | None], list[Path] | None]] = {
    "stdlib_text": stdlib_files,
    "files": files_of,
    "hub": hub_files,
    "half": _files_of_whole,
}


def _hint(corpus: str) -> str:
    """What may have been meant, as a question; empty where nothing is near."""
    meant = close_name(corpus.partition(":")[0], CORPORA)
    if meant is None and Path(corpus).expanduser().exists():
        meant = f"files:{corpus}"
    return f"did you mean {meant!r}? " if meant else ""


def sources(corpus: str, *, cache: Path) -> list[Path] | None:
    """The files that determine the text of a corpus; None where that cannot be told."""
    kind, _, place = corpus.partition(":")
    return SOURCES[kind](place, cache) if kind in SOURCES else None


def read_documents(corpus: str, *, cache: Path | None = None) -> Corpus:
    """Reads a corpus by name: `stdlib_text`, `files:PATH`, `hub:NAME?option=value`, `grammar:...`.

    Raises:
        CorpusError: the name is unknown, or what it names cannot be read.
    """
    kind, _, place = corpus.partition(":")
    if kind not in CORPORA:
        raise CorpusError(f"corpus={corpus!r} is unknown; {_hint(corpus)}known: {_KNOWN}")
    return CORPORA[kind](place, cache)
