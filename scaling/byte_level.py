"""What the library `tokenizers` takes to work on bytes: their spelling, the pipeline, forks.

Byte-level BPE spells each byte as one printable character (Radford et al. 2019, section 2.2, and
the vocabulary published with GPT-2), so that merges are over characters that any file can hold.
"""

from __future__ import annotations

import os

import tokenizers
from tokenizers import decoders, models, pre_tokenizers


def _byte_characters() -> tuple[str, ...]:
    """The printable character by which GPT-2's byte-level BPE spells each byte."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return tuple(chr(byte if byte in printable else next(others)) for byte in range(256))


_CHARACTERS = _byte_characters()
_BYTE_OF = {character: byte for byte, character in enumerate(_CHARACTERS)}


def bytes_of(characters: str) -> bytes:
    """The bytes that a vocabulary entry spells; KeyError if it spells none."""
    return bytes(_BYTE_OF[character] for character in characters)


def spelled(piece: bytes) -> str:
    """Bytes as a vocabulary entry."""
    return "".join(_CHARACTERS[byte] for byte in piece)


def pipeline(model: models.BPE) -> tokenizers.Tokenizer:
    """A BPE model behind GPT-2's cutting of text into words."""
    made = tokenizers.Tokenizer(model)
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    made.decoder = decoders.ByteLevel()
    return made


def word_lengths(text: str) -> list[int]:
    """Bytes of each word as GPT-2's regular expression cuts text; a space leads its word."""
    cut = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    return [len(word) for word, _ in cut.pre_tokenize_str(text)]


def _before_fork() -> None:
    # A child cannot use the library's threads, which stay behind in the parent. Without this
    # variable, tokenizers 0.21 prints a warning in each child.
    if _PARALLELISM not in os.environ:
        os.environ[_PARALLELISM] = "false"
        _fork_settings.append(_PARALLELISM)


def _after_fork_in_parent() -> None:
    while _fork_settings:
        os.environ.pop(_fork_settings.pop(), None)


_PARALLELISM = "TOKENIZERS_PARALLELISM"
_fork_settings: list[str] = []
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent)
