"""Tables that a benchmark wrote into a document, between two comments that name it."""

from __future__ import annotations

import re
from pathlib import Path


def put_section(path: Path, name: str, content: str) -> None:
    """Replaces what stands between the comments of that name.

    Raises:
        ValueError: the document has no such comments.
    """
    text = path.read_text(encoding="utf-8")
    path.write_text(_replaced(text, name, content, path), encoding="utf-8")


def section(path: Path, name: str) -> str:
    """What stands there. Raises ValueError as `put_section`."""
    found = _pattern(name).search(path.read_text(encoding="utf-8"))
    if found is None:
        raise ValueError(_absent(name, path))
    return found[2].strip("\n") + "\n"


def _replaced(text: str, name: str, content: str, path: Path) -> str:
    if not _pattern(name).search(text):
        raise ValueError(_absent(name, path))
    return _pattern(name).sub(lambda m: f"{m[1]}\n{content.strip()}\n\n{m[3]}", text)


def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(rf"(<!-- {name}: begin[^\n]*-->\n)(.*?)(<!-- {name}: end -->)", re.DOTALL)


def _absent(name: str, path: Path) -> str:
    return (
        f"{path} has no comments '{name}: begin' and '{name}: end'; add them on lines of their own"
    )
