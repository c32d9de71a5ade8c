"""Documents of a corpus, and how they part into train and validation.

A document goes by the hash of its content, so exact copies fall on one side, the split is the
same on every machine, and adding documents moves none of the old ones. See
docs/decisions/splits.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

VALIDATION_SHARE = 0.05


class CorpusError(ValueError):
    """A corpus that cannot be read; the message gives value, rule and remedy in one line."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Corpus:
    """The text of a corpus, in a fixed order.

    Attributes:
        name: as it was asked for, such as `files:books/`.
        train, validation: the documents of each split; none is empty.
        fingerprint: 16 hex digits of SHA-256 over both splits: names and places play no part.
        train_fingerprint: the same over the train split alone.
        split: `content_hash`, `files` where train.* and validation.* made the split, or `drawn`
            where both were generated.
        n_empty: documents dropped because they held nothing but white space.
        n_validation_in_train: validation documents with an exact copy in the train split; can
            be other than 0 for the splits `files` and `drawn` only.
        ignored_files: files in the place that were not read: of another kind, no UTF-8, or
            beside train.* and validation.*.
        stopped_at: documents after which reading ended because of a limit, if it did.
    """

    name: str
    train: tuple[str, ...]
    validation: tuple[str, ...]
    fingerprint: str
    train_fingerprint: str
    split: str
    n_empty: int
    n_validation_in_train: int = 0
    ignored_files: tuple[str, ...] = ()
    stopped_at: int | None = None

    @property
    def documents(self) -> tuple[str, ...]:
        return self.train + self.validation


def split_by_hash(
    name: str, documents: Iterable[str], *, ignored_files: tuple[str, ...] = ()
) -> Corpus:
    """A corpus of which a share of 5 % of the documents, by content, is validation.

    Raises:
        CorpusError: a split would have no document.
    """
    kept, n_empty = _without_empty(documents)
    train: list[tuple[bytes, str]] = []
    validation: list[tuple[bytes, str]] = []
    for digest, document in kept:
        (validation if in_validation(digest) else train).append((digest, document))
    for split_name, split in (("train", train), ("validation", validation)):
        if not split:
            raise CorpusError(
                f"corpus={name!r}: none of its {len(kept)} documents falls into the "
                f"{split_name} split ({VALIDATION_SHARE:.0%} are validation, by hash of their "
                "content); give more documents, or files named train.* and validation.*"
            )
    return _corpus(name, train, validation, "content_hash", n_empty, ignored_files)


def split_as_given(
    name: str,
    train: Iterable[str],
    validation: Iterable[str],
    *,
    ignored_files: tuple[str, ...] = (),
) -> Corpus:
    """A corpus whose publisher has split it.

    Raises:
        CorpusError: a split has no document.
    """
    kept_train, n_empty_train = _without_empty(train)
    kept_validation, n_empty_validation = _without_empty(validation)
    for split_name, split in (("train", kept_train), ("validation", kept_validation)):
        if not split:
            raise CorpusError(
                f"corpus={name!r}: its {split_name} files hold no document with text; "
                f"fill {split_name}.*, or remove it to have all documents split by hash"
            )
    n_empty = n_empty_train + n_empty_validation
    return _corpus(name, kept_train, kept_validation, "files", n_empty, ignored_files)


def as_drawn(name: str, train: Iterable[str], validation: Iterable[str]) -> Corpus:
    """A corpus whose splits were drawn independently from one source; none is empty."""
    return corpus_of(name, train, validation, "drawn")


def corpus_of(name: str, train: Iterable[str], validation: Iterable[str], split: str) -> Corpus:
    """A corpus of documents that are split already, none of them empty."""
    return _corpus(name, _hashed(train), _hashed(validation), split, 0, ())


def in_validation(digest: bytes) -> bool:
    """Whether the document with this SHA-256 is for validation."""
    return int.from_bytes(digest[:8], "big") < VALIDATION_SHARE * 2**64


def checked(text: str, where: str) -> str:
    """The text itself, if UTF-8 can hold it: JSON can spell what is no Unicode.

    Raises:
        CorpusError: it holds half of a surrogate pair.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise CorpusError(
            f"{where}: character {error.start} of the text is {text[error.start]!r}, half of a "
            "surrogate pair and no Unicode text; mend or remove it"
        ) from error
    return text


def _without_empty(documents: Iterable[str]) -> tuple[list[tuple[bytes, str]], int]:
    found = list(documents)
    kept = _hashed(document for document in found if document.strip())
    return kept, len(found) - len(kept)


def _hashed(documents: Iterable[str]) -> list[tuple[bytes, str]]:
    return [(hashlib.sha256(document.encode()).digest(), document) for document in documents]


def _corpus(
    name: str,
    train: list[tuple[bytes, str]],
    validation: list[tuple[bytes, str]],
    split: str,
    n_empty: int,
    ignored_files: tuple[str, ...],
) -> Corpus:
    train_digests = b"".join(digest for digest, _ in train)
    validation_digests = b"".join(digest for digest, _ in validation)
    train_fingerprint = hashlib.sha256(train_digests).digest()
    both = train_fingerprint + hashlib.sha256(validation_digests).digest()
    known = {digest for digest, _ in train}
    return Corpus(
        name=name,
        train=tuple(document for _, document in train),
        validation=tuple(document for _, document in validation),
        fingerprint=hashlib.sha256(both).hexdigest()[:16],
        train_fingerprint=train_fingerprint.hex()[:16],
        split=split,
        n_empty=n_empty,
        n_validation_in_train=sum(digest in known for digest, _ in validation),
        ignored_files=ignored_files,
    )
