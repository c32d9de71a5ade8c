"""A corpus that is read when its documents are asked for; what is known of it comes first."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from scaling.corpora import Corpus, CorpusError, known, read_documents, sources
from scaling.corpora.known import Summary

# Reading, splitting and encoding less than this is no wait.
LONG_BYTES = 1_000_000

# Tells people what takes long.
Say = Callable[[str], None]


def say_nothing(line: str) -> None:
    """For whoever reads a text that is sure to be in the cache."""


class Source:
    """A corpus by name, with its summary from the cache where its files are still the same.

    Attributes:
        summary: fingerprints and facts.
    Raises:
        CorpusError: it cannot be read.
    """

    def __init__(self, corpus: str, cache: Path, say: Say = say_nothing) -> None:
        self._corpus, self._cache = corpus, cache
        self._documents: Corpus | None = None
        files = sources(corpus, cache=cache)
        self._say = say if files is None or _n_bytes(files) >= LONG_BYTES else say_nothing
        # From before the reading: a file that changes meanwhile is read again the next time.
        stamp = None if files is None else known.stamp(corpus, files)
        self._kept = known.recall(cache, stamp)
        self.summary = self._kept or _summarized(self.documents)
        if self._kept is None:
            known.remember(cache, stamp, self.summary)

    def say(self, line: str) -> None:
        """Tells people what is done with the corpus now, where that takes long."""
        self._say(line)

    @property
    def documents(self) -> Corpus:
        """Its documents; reads them at the first call."""
        if self._documents is None:
            self.say(f"reading the corpus {self._corpus}")
            documents = read_documents(self._corpus, cache=self._cache)
            if self._kept and self._kept.fingerprint != documents.fingerprint:
                raise CorpusError(
                    f"corpus={self._corpus!r} has changed while it was looked at: fingerprint "
                    f"{self._kept.fingerprint} became {documents.fingerprint}; run again"
                )
            self._documents = documents
        return self._documents


def _n_bytes(files: Iterable[Path]) -> int:
    n_bytes = 0
    for path in files:
        with contextlib.suppress(OSError):  # said where it is read
            n_bytes += path.stat().st_size
    return n_bytes


def _summarized(documents: Corpus) -> Summary:
    facts: dict[str, Any] = {
        "train_documents": len(documents.train),
        "validation_documents": len(documents.validation),
        "train_bytes": sum(len(document.encode()) for document in documents.train),
        "validation_bytes": sum(len(document.encode()) for document in documents.validation),
        "split": documents.split,
        "empty_documents": documents.n_empty,
        "validation_documents_in_train": documents.n_validation_in_train,
        "ignored_files": list(documents.ignored_files),
        "stopped_at": documents.stopped_at,
    }
    return Summary(
        name=documents.name,
        fingerprint=documents.fingerprint,
        train_fingerprint=documents.train_fingerprint,
        facts=facts,
    )
