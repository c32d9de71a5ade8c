"""Generated text on a terminal: characters as soon as their bytes are there, and no controls.

A model may write any byte. Control characters could move the cursor or set the terminal up
otherwise, so they are spelled out.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Sequence

from scaling.tokenizer import CLS_ID, MASK_ID, Tokenizer

BLANK = "_"


class Stream:
    """Ids to printable text, piece by piece."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._pieces = tokenizer.pieces
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def text(self, ids: Iterable[int], *, final: bool = False) -> str:
        """The characters that these ids complete; `final` also gives those left incomplete."""
        joined = b"".join(self._pieces[index] for index in ids)
        return printable(self._decoder.decode(joined, final))


def printable(text: str) -> str:
    """The text with its control characters spelled out, line ends and tabs excepted."""
    return "".join(
        c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text
    )


def with_blanks(tokenizer: Tokenizer, ids: Sequence[int]) -> str:
    """The text of a window, with `_` for each blank."""
    shown: list[str] = []
    run: list[int] = []
    for index in [*ids, CLS_ID]:
        if index in (MASK_ID, CLS_ID):
            shown.append(printable(tokenizer.decode(run)))
            run = []
        else:
            run.append(index)
        if index == MASK_ID:
            shown.append(BLANK)
    return "".join(shown)
