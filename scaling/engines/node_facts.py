"""What every node of a cluster must have in common: the store, the suite and the libraries.

A node that sees another folder under the same path would train into the void, and one with another
version would give other results under the same name: both are found before a cell is started.
"""

from __future__ import annotations

import hashlib
import platform
import tempfile
import time
import uuid
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path

from scaling.files import write_exclusive

STORE_ID = ".store-id"

_REMEDY = (
    "; mount the store on every node under this path, or choose a --root that all of them share"
)

# A file server may show a new file to another machine a moment later.
_PATIENCE_SECONDS = 5.0


def mark_store(root: Path) -> None:
    """Gives the store a random name that tells it from any other folder."""
    root.mkdir(parents=True, exist_ok=True)
    write_exclusive(root / STORE_ID, uuid.uuid4().hex)


def facts(root: Path) -> dict[str, str]:
    """What this machine has; `mark_store` was called for `root`, on any machine."""
    return {
        "store": _store_id(root),
        "Python": ".".join(platform.python_version_tuple()[:2]),
        "torch": metadata.version("torch").partition("+")[0],
        "scaling-suite": _suite_digest(),
    }


def difference(node: str, mine: Mapping[str, str], theirs: Mapping[str, str]) -> str | None:
    """Why `node` cannot work with this launch, in one line; None when it can."""
    for name, value in mine.items():
        if theirs.get(name) == value:
            continue
        if name == "store":
            return f"node {node} cannot use the store: {_why_another_store(theirs.get(name, ''))}"
        return (
            f"node {node} has {name} {theirs.get(name)}, this launch has {name} {value}; "
            "install the same on every node"
        )
    return None


def _store_id(root: Path) -> str:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            found = (root / STORE_ID).read_text()
            with tempfile.TemporaryFile(prefix=".write-", dir=root):
                return found
        except FileNotFoundError:
            if time.monotonic() < deadline:
                time.sleep(0.2)
                continue
            return f"{root} is not there{_REMEDY}"
        except OSError as error:
            return f"{root}: {(error.strerror or str(error)).lower()}"


def _why_another_store(theirs: str) -> str:
    """Theirs is the mark of another store, or says already why there is none."""
    is_mark = " " not in theirs
    return f"another folder stands there under the same path{_REMEDY}" if is_mark else theirs


@cache
def _suite_digest() -> str:
    """The version says too little where people run a checkout."""
    folder = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes())
    return f"of digest {digest.hexdigest()[:12]}"
