"""Who worked on a cell, when, and how each attempt ended: the history that its claims leave."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from scaling.cell_files import CLAIM
from scaling.claims import read_claim
from scaling.live import machine_of

# What the claims say, in words; `scaling.claim_history` knows what each means.
_ENDS = {
    "released": "stopped before its end",
    "ended": "ended with a record",
    "died": "died",
    "lost": "fell silent",
    "died-forgiven": "died, and was forgiven by a retry",
    "lost-forgiven": "fell silent, and was forgiven by a retry",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """One claim of a cell.

    Attributes:
        number: the token of the claim; an attempt that lost its claim at once left none.
        machine, pid: of the worker; None where a damaged claim does not tell.
        started: ISO 8601 in UTC; None for claims that do not tell.
        last_seen: time of the last heartbeat, by the clock of the file server.
        end: `running`, or how it ended, in words.
        reason: why it died, where that is known.
    """

    number: int
    machine: str | None
    pid: int | None
    started: str | None
    last_seen: str
    end: str
    reason: str | None = None


def attempts(folder: Path) -> list[Attempt]:
    """All attempts at the cell in `folder`, the first one first."""
    found: list[Attempt | None] = []
    for path in sorted((folder / "claims").glob("*.*.json")):
        token, end = path.name.split(".")[:2]
        if end in _ENDS and token.isdigit():
            found.append(_attempt(path, int(token), _ENDS[end]))
    found.append(_attempt(folder / CLAIM, len(found) + 1, "running"))
    return [attempt for attempt in found if attempt is not None]


def _attempt(path: Path, number: int, end: str) -> Attempt | None:
    try:
        beat_seconds = path.stat().st_mtime
        content: dict[str, Any] = read_claim(path) or {}
    except OSError:
        return None  # nobody has the cell, or the claim was moved aside at this moment
    place, pid = content.get("place"), content.get("pid")
    return Attempt(
        number=int(content.get("token", number)),
        machine=machine_of(str(place)) if place else None,
        pid=int(pid) if pid is not None else None,
        started=content.get("started"),
        last_seen=datetime.fromtimestamp(beat_seconds, UTC).isoformat(timespec="seconds"),
        end=end,
        reason=content.get("reason"),
    )
