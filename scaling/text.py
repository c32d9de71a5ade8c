"""Text: a corpus as token ids on disk, which is all that training sees of it.

The ids of each split lie in one memory-mapped file, in a folder named after what determines
them: the fingerprints of the corpus and of the tokenizer. Several processes may build a folder
at once: each file is replaced whole, all of them write the same bytes, and the header with the
checksums comes last.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from scaling.corpora import Corpus, known
from scaling.corpora.source import Say, Source, say_nothing
from scaling.files import write_atomic
from scaling.tokenizer import (
    BYTES_VOCAB_SIZE,
    FIRST_TEXT_ID,
    SEP_ID,
    Tokenizer,
    TokenizerError,
    byte_tokenizer,
    train_bpe,
)

_FORMAT = 1
_FILES = ("train.ids", "train.starts", "train.counts", "validation.ids", "validation.starts")
_DTYPES = frozenset({"<u2", "<u4", "<i8"})
_log = logging.getLogger(__name__)


class TextError(ValueError):
    """A text that does not serve; the message gives the value, the rule and the remedy."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TokenStream:
    """The documents of one split one after another, each closed by a [SEP].

    Attributes:
        ids: [n] uint16 or uint32, read-only, memory-mapped where it comes from the cache.
        document_starts: int64 [n_documents + 1]; document d with its [SEP] is
            `ids[document_starts[d] : document_starts[d + 1]]`.
        name: what messages call it.
    """

    ids: np.ndarray
    document_starts: np.ndarray
    name: str = "stream"

    @property
    def n_documents(self) -> int:
        return len(self.document_starts) - 1

    def __reduce__(self) -> tuple[Any, ...]:
        """Travels to another process as the names of its files, where it is mapped from files."""
        return _stream, (_packed(self.ids), _packed(self.document_starts), self.name)


def _packed(array: np.ndarray) -> Any:
    base = array.base
    if isinstance(base, np.memmap) and base.filename and base.shape == array.shape:
        return str(base.filename), base.dtype.str
    return array


def _stream(ids: Any, document_starts: Any, name: str) -> TokenStream:
    arrays = [a if isinstance(a, np.ndarray) else _view(*a) for a in (ids, document_starts)]
    return TokenStream(ids=arrays[0], document_starts=arrays[1], name=name)


def _view(path: Path | str, dtype: str) -> np.ndarray:
    # A plain array over the map: numpy's own class makes each small read several times dearer.
    return np.asarray(np.memmap(path, dtype, mode="r"))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Text:
    """What training needs of a corpus and a tokenizer.

    Attributes:
        unigram_nats: float64 [V], the cost in nats of each id under the add-one-smoothed
            frequencies of the text ids of the train split; infinite for special tokens.
        facts: what was read, for people: documents and bytes per split, what was left out.
    """

    corpus: str
    corpus_fingerprint: str
    tokenizer: Tokenizer
    train: TokenStream
    validation: TokenStream
    unigram_nats: np.ndarray
    facts: dict[str, Any] = field(default_factory=dict)


def count_text_tokens(stream: TokenStream, starts: np.ndarray, ends: np.ndarray) -> int:
    """Tokens in the union of the intervals [start, end) of a stream, without separators."""
    order = np.argsort(starts)
    starts, ends = starts[order], np.maximum.accumulate(ends[order])
    # Each interval counts from where the ones before it have reached.
    starts = np.maximum(starts, np.concatenate([[0], ends[:-1]]))
    separators = stream.document_starts[1:] - 1
    n_separators = np.searchsorted(separators, ends) - np.searchsorted(separators, starts)
    return int((ends - starts).sum() - n_separators.sum())


def load_text(
    *,
    corpus: str,
    tokenizer: str,
    vocab_size: int | None,
    cache: Path,
    say: Say = say_nothing,
) -> Text:
    """Reads, splits and encodes a corpus, or maps what an earlier call left under `cache`.

    Args:
        corpus: `stdlib_text`, `files:PATH` or `hub:NAME`; see `scaling.corpora`.
        tokenizer: `bytes` or `bpe`.
        vocab_size: entries with special tokens; for bpe only.
        say: called with a line before each step that takes long and is taken once.
    Raises:
        CorpusError, TokenizerError, TextError: all ValueErrors.
    """
    if tokenizer not in TOKENIZERS:
        raise TokenizerError(f"tokenizer={tokenizer!r} is unknown; known: {', '.join(TOKENIZERS)}")
    source = Source(corpus, cache, say)
    made = TOKENIZERS[tokenizer](source, vocab_size, cache)
    folder = cache / "texts" / f"{source.summary.fingerprint}-{made.fingerprint}"
    arrays = _read(folder, cache)
    if arrays is None:
        facts, documents = source.summary.facts, source.documents
        n_bytes = facts["train_bytes"] + facts["validation_bytes"]
        source.say(
            f"encoding {n_bytes / 1e6:.1f} MB with the tokenizer {tokenizer}; kept in {cache}"
        )
        _build(folder, documents, made)
        arrays = _read(folder, cache)
        if arrays is None:
            raise TextError(f"{folder} is damaged right after it was written; check the disk")
    train, validation = (
        TokenStream(
            ids=arrays[f"{split}.ids"], document_starts=arrays[f"{split}.starts"],
            name=f"the {split} split of {corpus}",
        )
        for split in ("train", "validation")
    )  # fmt: skip
    return Text(
        corpus=corpus,
        corpus_fingerprint=source.summary.fingerprint,
        tokenizer=made,
        train=train,
        validation=validation,
        unigram_nats=_unigram_nats(arrays["train.counts"]),
        facts=source.summary.facts,
    )


def _bytes_tokenizer(source: Source, vocab_size: int | None, cache: Path) -> Tokenizer:
    if vocab_size not in (None, BYTES_VOCAB_SIZE):
        raise TokenizerError(
            f"vocab_size={vocab_size} is given, but the tokenizer 'bytes' has "
            f"{BYTES_VOCAB_SIZE} entries; leave vocab_size out, or take the tokenizer 'bpe'"
        )
    return byte_tokenizer()


def _bpe_tokenizer(source: Source, vocab_size: int | None, cache: Path) -> Tokenizer:
    if vocab_size is None:
        raise TokenizerError("vocab_size=None, but the tokenizer 'bpe' needs one; try 4096")
    folder = cache / "tokenizers" / f"{source.summary.train_fingerprint}-bpe-{vocab_size}"
    if (folder / "seal.json").exists():
        try:
            tokenizer = Tokenizer.load(folder)
        except TokenizerError as error:
            _log.warning("%s: training it again", error)
        else:
            return tokenizer
    documents = source.documents.train
    source.say(f"training the tokenizer bpe with vocab_size={vocab_size} on {source.summary.name}")
    tokenizer = train_bpe(documents, vocab_size=vocab_size)
    tokenizer.save(folder)
    return tokenizer


TOKENIZERS: dict[str, Callable[[Source, int | None, Path], Tokenizer]] = {
    "bytes": _bytes_tokenizer,
    "bpe": _bpe_tokenizer,
}


def _build(folder: Path, documents: Corpus, tokenizer: Tokenizer) -> None:
    id_type = np.dtype("<u2" if tokenizer.vocab_size <= 2**16 else "<u4")
    arrays: dict[str, np.ndarray] = {}
    for split, texts in (("train", documents.train), ("validation", documents.validation)):
        parts, starts = [], [0]
        for ids in tokenizer.encode_all(texts):
            parts.append(np.append(ids, SEP_ID).astype(id_type))
            starts.append(starts[-1] + len(ids) + 1)
        arrays[f"{split}.ids"] = np.concatenate(parts)
        arrays[f"{split}.starts"] = np.array(starts, "<i8")
    counts = np.bincount(arrays["train.ids"], minlength=tokenizer.vocab_size)
    arrays["train.counts"] = counts.astype("<i8")

    folder.mkdir(parents=True, exist_ok=True)
    header: dict[str, Any] = {"format": _FORMAT, "corpus": documents.name, "files": {}}
    for name in _FILES:
        content = arrays[name].tobytes()
        write_atomic(folder / name, content)
        header["files"][name] = {
            "dtype": arrays[name].dtype.str,
            "sha256": hashlib.sha256(content).hexdigest(),
        }
    write_atomic(folder / "header.json", json.dumps(header, indent=1) + "\n")


def _read(folder: Path, cache: Path) -> dict[str, np.ndarray] | None:
    """Maps the arrays of a folder; None if one is missing or not what the header says."""
    try:
        header = json.loads((folder / "header.json").read_text(encoding="utf-8"))
        if header["format"] != _FORMAT:
            return None
        return {name: _mapped(folder / name, cache, **header["files"][name]) for name in _FILES}
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        _log.warning("%s is damaged and built again: %s", folder, error)
        return None


def _mapped(path: Path, cache: Path, dtype: str, sha256: str) -> np.ndarray:
    if not known.has_digest(path, sha256, cache):
        raise ValueError(f"{path.name} is not what the header says")
    if dtype not in _DTYPES:
        raise ValueError(f"{dtype} is no type of token ids")
    return _view(path, dtype)


def _unigram_nats(counts: np.ndarray) -> np.ndarray:
    smoothed = counts[FIRST_TEXT_ID:] + 1.0
    nats = np.full(len(counts), np.inf)
    nats[FIRST_TEXT_ID:] = np.log(smoothed.sum()) - np.log(smoothed)
    return nats
