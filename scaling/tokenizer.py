"""Tokenizers: plain bytes, and byte-level BPE trained on the train split.

Ids 0..3 are the special tokens, 4..259 the single bytes, and from 260 on stand the merges in
the order of training. Text never encodes to a special token, not even the text "[MASK]".

Byte-level BPE: Sennrich et al. 2016, arXiv:1508.07909; Radford et al. 2019, section 2.2.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
from tokenizers import models, pre_tokenizers, trainers

from scaling.byte_level import bytes_of, pipeline, spelled
from scaling.files import write_atomic

SPECIAL_TOKENS = ("[PAD]", "[CLS]", "[SEP]", "[MASK]")
PAD_ID, CLS_ID, SEP_ID, MASK_ID = range(4)
FIRST_TEXT_ID = len(SPECIAL_TOKENS)
BYTES_VOCAB_SIZE = FIRST_TEXT_ID + 256

# The library keeps some hundred bytes per token of a call, so texts go in by portions.
_PORTION_CHARACTERS = 2_000_000
# Cutting a text here cannot move a token border: the pre-tokenizer always splits a lone line
# break from both of its neighbours.
_SAFE_CUT = re.compile(r"(?<=\S\n)(?=\S)")


class TokenizerError(ValueError):
    """A tokenizer that cannot be made or read; the message gives value, rule and remedy."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Tokenizer:
    """Text to ids and back, without loss.

    Attributes:
        name: `bytes` or `bpe`.
        pieces: the bytes that each id stands for; none for special tokens.
        merges: pairs of ids that BPE joins, first ones first.
        fingerprint: 16 hex digits of SHA-256 over pieces and merges.
        bytes_per_id: int64 [V], bytes of text per id.
    """

    name: str
    pieces: tuple[bytes, ...]
    merges: tuple[tuple[int, int], ...] = ()
    fingerprint: str = field(init=False)
    bytes_per_id: np.ndarray = field(init=False)
    _backend: tokenizers.Tokenizer = field(init=False, repr=False)

    def __post_init__(self) -> None:
        lengths = np.array([len(piece) for piece in self.pieces], np.int64)
        lengths.flags.writeable = False
        object.__setattr__(self, "fingerprint", _fingerprint(self.pieces, self.merges))
        object.__setattr__(self, "bytes_per_id", lengths)
        object.__setattr__(self, "_backend", _backend(self.pieces, self.merges))

    @property
    def vocab_size(self) -> int:
        """Entries of the vocabulary, the special tokens included."""
        return len(self.pieces)

    def encode(self, text: str) -> np.ndarray:
        """Ids of a text, int64 [n]; their `bytes_per_id` sum to its length in UTF-8."""
        return next(self.encode_all([text])).astype(np.int64)

    def encode_all(self, texts: Iterable[str]) -> Iterator[np.ndarray]:
        """Ids of each text in turn, uint32 [n], on all cores.

        Raises:
            TokenizerError: a text is no Unicode, as it holds half of a surrogate pair.
        """
        if not self.merges:
            for text in texts:
                yield np.frombuffer(_utf8(text), np.uint8).astype(np.uint32) + FIRST_TEXT_ID
            return
        parts: list[np.ndarray] = []
        for portion in _portions(texts):
            encodings = self._backend.encode_batch_fast([piece for piece, _ in portion])
            for encoding, (_, ends_text) in zip(encodings, portion, strict=True):
                parts.append(np.array(encoding.ids, np.uint32))
                if ends_text:
                    yield np.concatenate(parts)
                    parts = []

    def decode(self, ids: Sequence[int] | np.ndarray) -> str:
        """Text of ids. Special tokens leave no trace; bytes that are no UTF-8 become U+FFFD."""
        joined = b"".join(self.pieces[index] for index in np.asarray(ids, np.int64).tolist())
        return joined.decode("utf-8", errors="replace")

    def save(self, folder: Path) -> None:
        """Writes `tokenizer.json`, which the Hugging Face libraries read too, then its seal."""
        folder.mkdir(parents=True, exist_ok=True)
        seal = {"name": self.name, "vocab_size": self.vocab_size, "fingerprint": self.fingerprint}
        write_atomic(folder / "tokenizer.json", self._backend.to_str(pretty=True))
        write_atomic(folder / "seal.json", json.dumps(seal) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Tokenizer:
        """Reads what `save` wrote.

        Raises:
            TokenizerError: the file is missing, damaged or of another kind of tokenizer.
        """
        path = folder / "tokenizer.json"
        try:
            model = json.loads(path.read_text(encoding="utf-8"))["model"]
            seal = json.loads((folder / "seal.json").read_text(encoding="utf-8"))
            vocabulary: dict[str, int] = model["vocab"]
            by_id = sorted(vocabulary, key=vocabulary.__getitem__)[FIRST_TEXT_ID:]
            merges = tuple((vocabulary[a], vocabulary[b]) for a, b in model["merges"])
            pieces = _SPECIAL_PIECES + tuple(map(bytes_of, by_id))
            if _fingerprint(pieces, merges) != seal["fingerprint"]:
                raise ValueError("its content is not what seal.json says")
            return cls(name=seal["name"], pieces=pieces, merges=merges)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise TokenizerError(
                f"{path} is no tokenizer of this suite ({type(error).__name__}: {error}); "
                "delete its folder, and it is trained again"
            ) from error


def byte_tokenizer() -> Tokenizer:
    """The tokenizer `bytes`: the id of a byte is 4 plus its value."""
    return Tokenizer(name="bytes", pieces=_BASE_PIECES)


def train_bpe(documents: Iterable[str], *, vocab_size: int) -> Tokenizer:
    """Trains byte-level BPE; the same documents in any order give the same tokenizer.

    Args:
        documents: the train split only: merges learned elsewhere would leak.
        vocab_size: entries with special tokens and single bytes, so at least 261.
    Raises:
        TokenizerError: `vocab_size` is too small, or larger than the text supports.
    """
    if vocab_size <= BYTES_VOCAB_SIZE:
        raise TokenizerError(
            f"vocab_size={vocab_size} leaves no merge: bpe needs more than {BYTES_VOCAB_SIZE}; "
            "give 512 or more, or take the tokenizer 'bytes'"
        )
    backend = pipeline(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - FIRST_TEXT_ID,
        min_frequency=2,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    backend.train_from_iterator(iter(documents), trainer)
    model: dict[str, Any] = json.loads(backend.to_str())["model"]
    vocabulary: dict[str, int] = model["vocab"]
    learned = [s for s in sorted(vocabulary, key=vocabulary.__getitem__) if len(s) > 1]
    pieces = _BASE_PIECES + tuple(map(bytes_of, learned))
    if len(pieces) < vocab_size:
        raise TokenizerError(
            f"vocab_size={vocab_size} is more than this text supports, as a merge must occur "
            f"twice; the largest that works: {len(pieces)}"
        )
    ids = {piece: index for index, piece in enumerate(pieces) if piece}
    merges = tuple((ids[bytes_of(a)], ids[bytes_of(b)]) for a, b in model["merges"])
    return Tokenizer(name="bpe", pieces=pieces, merges=merges)


_SPECIAL_PIECES = (b"",) * FIRST_TEXT_ID
_BASE_PIECES = _SPECIAL_PIECES + tuple(bytes([byte]) for byte in range(256))


def _fingerprint(pieces: tuple[bytes, ...], merges: tuple[tuple[int, int], ...]) -> str:
    content = json.dumps([[piece.hex() for piece in pieces], merges])
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise TokenizerError(
            f"character {error.start} of a text is {text[error.start]!r}, half of a surrogate "
            "pair and no Unicode text; mend or remove the text"
        ) from error


def _backend(
    pieces: tuple[bytes, ...], merges: tuple[tuple[int, int], ...]
) -> tokenizers.Tokenizer:
    # The special tokens are plain entries that no merge leads to. Added tokens, the library's
    # usual way, would be found in text.
    names = [*SPECIAL_TOKENS, *map(spelled, pieces[FIRST_TEXT_ID:])]
    vocabulary = {name: index for index, name in enumerate(names)}
    return pipeline(models.BPE(vocab=vocabulary, merges=[(names[a], names[b]) for a, b in merges]))


def _portions(texts: Iterable[str]) -> Iterator[list[tuple[str, bool]]]:
    """Pieces of texts by the portion, each with whether it ends its text."""
    portion: list[tuple[str, bool]] = []
    room = _PORTION_CHARACTERS
    for text in texts:
        _utf8(text)  # the library would not say what is wrong
        start, end = 0, -1
        while end < len(text):
            end = _piece_end(text, start)
            portion.append((text[start:end], end == len(text)))
            room -= end - start
            start = end
            if room <= 0:
                yield portion
                portion, room = [], _PORTION_CHARACTERS
    if portion:
        yield portion


def _piece_end(text: str, start: int) -> int:
    """Where the piece from `start` ends: texts up to two portions long are not cut."""
    if len(text) - start <= 2 * _PORTION_CHARACTERS:
        return len(text)
    cut = _SAFE_CUT.search(text, start + _PORTION_CHARACTERS)
    return cut.start() if cut else len(text)
