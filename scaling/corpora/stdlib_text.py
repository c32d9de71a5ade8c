"""Corpus `stdlib_text`: the running Python's own standard library, documents = modules.

It is on every machine and needs no download. Its text differs between Python versions, which is
why the fingerprint of the content stands in every run.
"""

from __future__ import annotations

import os
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from scaling.corpora.documents import Corpus, CorpusError, split_by_hash

# Installed packages are not the standard library, and the tests would be most of its text.
_LEFT_OUT = frozenset(
    {"site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__"}
)


def read_stdlib_text(place: str, cache: Path | None = None) -> Corpus:
    """Reads the modules in the order of their paths.

    Raises:
        CorpusError: a place is given, or this Python has no library in source form.
    """
    if place:
        raise CorpusError(
            f"corpus='stdlib_text:{place}': stdlib_text takes no place; write stdlib_text, "
            f"or files:{place} for text of your own"
        )
    root = Path(sysconfig.get_path("stdlib"))
    documents, not_utf8 = [], []
    for path in _modules(root):
        try:
            documents.append(path.read_bytes().decode("utf-8"))
        except UnicodeDecodeError:
            not_utf8.append(path.relative_to(root).as_posix())
    if not documents:
        raise CorpusError(
            f"corpus='stdlib_text': {root} holds no .py files, as this Python ships its library "
            "in another form; give text of your own: files:PATH"
        )
    return split_by_hash("stdlib_text", documents, ignored_files=tuple(not_utf8))


def stdlib_files(place: str, cache: Path | None = None) -> list[Path] | None:
    """The modules; None where a place is given, which `read_stdlib_text` refuses."""
    return None if place else list(_modules(Path(sysconfig.get_path("stdlib"))))


def _modules(root: Path) -> Iterator[Path]:
    found = []
    for folder, subfolders, files in os.walk(root):
        subfolders[:] = [name for name in subfolders if name not in _LEFT_OUT]
        found += [Path(folder, name) for name in files if name.endswith(".py")]
    return iter(sorted(found, key=lambda path: path.relative_to(root).as_posix()))
