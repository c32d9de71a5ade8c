"""Printing what comes from tables: anybody may have written them, and a terminal obeys controls."""

from __future__ import annotations

import unicodedata

# Overrides of the writing direction make a line read otherwise than it is.
_OBEYED = frozenset(("Cc", "Cs", "Cf"))


def say(*words: object, sep: str = " ") -> None:
    """Prints the words with control characters spelled out, line ends and tabs excepted."""
    text = sep.join(map(str, words))
    print(text if text.isprintable() else "".join(map(_spelled, text)))


def _spelled(character: str) -> str:
    if character in "\n\t" or unicodedata.category(character) not in _OBEYED:
        return character
    return character.encode("unicode_escape", "backslashreplace").decode()
