"""Cancelling: a mark in the folder of a cell that no worker on any machine trains past.

The mark is the file `cancel.json`. Whoever would claim the cell leaves it; who works on it sees the
mark at the next heartbeat, writes its checkpoint and stops. The cell keeps what it has: once the
mark is lifted it goes on from there.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import socket
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from scaling.cell_files import CANCEL
from scaling.files import write_exclusive
from scaling.logs import harmless


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """Who cancelled a cell, when (ISO 8601, UTC) and why."""

    by: str
    at: str
    reason: str

    def __str__(self) -> str:
        why = f": {self.reason}" if self.reason else ""
        return f"cancelled by {self.by} at {self.at}{why}"


def new_mark(reason: str = "") -> Mark:
    """A mark by the person and the machine that run this process."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container may have no name for its user
        user = "unknown"
    now = datetime.now(UTC).isoformat(timespec="seconds")
    why = harmless(" ".join(reason.split()))
    return Mark(by=f"{user}@{socket.gethostname()}", at=now, reason=why)


def mark(folder: Path, wanted: Mark) -> bool:
    """Marks the cell in `folder`; False when it was marked already, whose mark then stays."""
    return write_exclusive(folder / CANCEL, json.dumps(asdict(wanted)) + "\n")


def is_marked(folder: Path) -> bool:
    return (folder / CANCEL).exists()


def read_mark(folder: Path) -> Mark | None:
    """The mark of the cell; None where there is none."""
    try:
        content = json.loads((folder / CANCEL).read_bytes())
        return Mark(**{name: str(content[name]) for name in ("by", "at", "reason")})
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        # Whoever puts a file of this name there, even an empty one, wants the cell stopped.
        return Mark(by="unknown", at="an unknown time", reason="")


def lift(folder: Path) -> bool:
    """Takes the mark away; False when there was none."""
    with contextlib.suppress(FileNotFoundError):
        (folder / CANCEL).unlink()
        return True
    return False
