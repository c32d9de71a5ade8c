"""What is known of a corpus without reading it, as long as its files are the same.

Reading and hashing a corpus takes seconds to minutes, and every worker would do it. A summary is
kept under the cache, named after the path, size, times and inode of every file of the corpus: a
file that changes in any of them leads to another name, and the corpus is read again.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scaling.files import write_atomic

# A file that was written this short a time ago may change again within one tick of its clock.
_SETTLED_SECONDS = 2.0
_FORMAT = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """What determines a text, and what is told of it: see `scaling.corpora.documents.Corpus`."""

    name: str
    fingerprint: str
    train_fingerprint: str
    facts: dict[str, Any]


def stamp(corpus: str, files: Iterable[Path]) -> str | None:
    """A name for the present state of the files; None when one is gone or was written just now."""
    rows: list[list[Any]] = []
    newest = 0
    try:
        for path in files:
            found = path.stat()
            newest = max(newest, found.st_mtime_ns, found.st_ctime_ns)
            rows.append(
                [
                    str(path.absolute()),
                    found.st_size,
                    found.st_mtime_ns,
                    found.st_ctime_ns,
                    found.st_ino,
                    found.st_dev,
                ]
            )
    except OSError:
        return None
    if not rows or time.time_ns() - newest < _SETTLED_SECONDS * 1e9:
        return None
    return hashlib.sha256(json.dumps([_FORMAT, corpus, rows]).encode()).hexdigest()[:32]


def recall(cache: Path, name: str | None) -> Summary | None:
    """The summary that was kept under this name; None where there is none, or a damaged one."""
    if name is None:
        return None
    try:
        kept = json.loads(_path(cache, name).read_bytes())
        content = json.dumps(kept["summary"], sort_keys=True)
        if kept["sha256"] != hashlib.sha256(content.encode()).hexdigest():
            return None
        return Summary(**kept["summary"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def remember(cache: Path, name: str | None, summary: Summary) -> None:
    """Keeps a summary; `name` is the stamp from before the files were read."""
    if name is None:
        return
    content = json.dumps(asdict(summary), sort_keys=True)
    digest = hashlib.sha256(content.encode()).hexdigest()
    path = _path(cache, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, json.dumps({"sha256": digest, "summary": json.loads(content)}) + "\n")


def has_digest(path: Path, sha256: str, cache: Path) -> bool:
    """Whether the file has this SHA-256; it is hashed once, and again when it was touched."""
    name = stamp(sha256, [path])
    seen = cache / "verified" / str(name)
    if name is not None and seen.exists():
        return True
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
            return False
    if name is not None:
        seen.parent.mkdir(parents=True, exist_ok=True)
        seen.touch()
    return True


def _path(cache: Path, name: str) -> Path:
    return cache / "corpora" / f"{name}.json"
