"""What a cell wrote while it trained, made safe for a terminal: whole, its end, or as it grows."""

from __future__ import annotations

import codecs
import os
import re
import time
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

LOG = "log.txt"
TRACEBACK = "traceback.txt"

_BLOCK_BYTES = 1 << 16
_FOLLOW_SECONDS = 0.5
_LAST_LINE_BYTES = 4096
_LAST_LINE_CHARACTERS = 200

# Colours, which say nothing in a log; any other sequence is shown as what it is.
_COLOUR = re.compile("\x1b\\[[0-9;:]*m")
# Overrides of the writing direction can make a line read otherwise than it is.
_DIRECTIONS = frozenset("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def harmless(text: str) -> str:
    """`text` without what a terminal would obey: colours go, other controls are spelled out.

    Lines may end with a carriage return, as those of a progress bar do.
    """
    text = _COLOUR.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    if text.isprintable():
        return text
    return "".join(map(_spelled, text))


def _spelled(character: str) -> str:
    if character in "\n\t":
        return character
    if character in _DIRECTIONS or unicodedata.category(character) in ("Cc", "Cs"):
        return character.encode("unicode_escape", "backslashreplace").decode()
    return character


def read_blocks(path: Path, *, tail: int | None = None) -> Iterator[str]:
    """The text of a log, block by block; nothing where there is no log.

    Args:
        tail: only that many lines of its end.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        if tail is not None:
            file.seek(_start_of_tail(path, tail))
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        while block := file.read(_BLOCK_BYTES):
            # A block goes out with whole lines, so that no sequence is cut in two.
            block += file.readline()
            yield harmless(decoder.decode(block))


def follow(path: Path, *, is_over: Callable[[], bool], tail: int | None = None) -> Iterator[str]:
    """What is in the log and what is added to it, until `is_over` and nothing is left to read.

    A log that was replaced by a shorter one is read from its start.
    """
    position = _start_of_tail(path, tail) if tail is not None else 0
    while True:
        over = is_over()  # before reading: what was written until then is still shown
        try:
            with path.open("rb") as file:
                if os.fstat(file.fileno()).st_size < position:
                    position = 0
                file.seek(position)
                found = file.read()
        except FileNotFoundError:
            found = b""
        whole = len(found) if over else found.rfind(b"\n") + 1
        if whole:
            position += whole
            yield harmless(found[:whole].decode("utf-8", "replace"))
        if over:
            return
        time.sleep(_FOLLOW_SECONDS)


def last_line(path: Path) -> str | None:
    """The last line with something in it, cut to a length for a table; None where there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _LAST_LINE_BYTES))
            lines = harmless(file.read().decode("utf-8", "replace")).split("\n")
    except FileNotFoundError:
        return None
    filled = [" ".join(line.split()) for line in lines if line.strip()]
    return filled[-1][:_LAST_LINE_CHARACTERS] if filled else None


def _start_of_tail(path: Path, lines: int) -> int:
    """Where the last `lines` lines begin."""
    try:
        with path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            if lines <= 0 or not end:
                return end
            file.seek(end - 1)
            # The end of the last line begins no further one.
            wanted = lines + (file.read(1) == b"\n")
            position, found = end, 0
            while position:
                step = min(_BLOCK_BYTES, position)
                position -= step
                file.seek(position)
                block = file.read(step)
                count = block.count(b"\n")
                if found + count >= wanted:
                    index = len(block)
                    for _ in range(wanted - found):
                        index = block.rfind(b"\n", 0, index)
                    return position + index + 1
                found += count
    except FileNotFoundError:
        pass
    return 0
