"""Live progress: what a running cell last said of itself, for whoever looks at the store.

`<cell>/progress.json` is replaced on the clock of the heartbeat, by the heartbeat's thread: no
step waits for it, and a file that cannot be written is left as it is. It names the claim under
which it was written, so that the words of an earlier attempt are never taken for this one's.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scaling.cell_files import PROGRESS
from scaling.claims import Claim
from scaling.files import write_atomic
from scaling.place import place

if TYPE_CHECKING:
    from scaling.watch import Progress


class LiveWriter:
    """Keeps the last progress of one attempt, and writes it when asked."""

    def __init__(self, claim: Claim) -> None:
        self._claim = claim
        self._started = _now()
        self._latest: Progress | None = None
        self._written: Progress | None = None

    def take(self, progress: Progress) -> None:
        """Remembers `progress`; cheap, called between the steps."""
        self._latest = progress

    def write(self) -> None:
        """Writes what is new; never raises for what the disk refuses."""
        latest = self._latest
        if latest is None or latest is self._written:
            return
        content = asdict(latest) | {
            "owner": self._claim.owner,
            "place": place(),
            "pid": os.getpid(),
            "started": self._started,
            "written": _now(),
        }
        with contextlib.suppress(OSError):
            write_atomic(self._claim.folder / PROGRESS, json.dumps(content) + "\n")
            self._written = latest

    def remove(self) -> None:
        """Takes away what was written, as the cell has a result; an earlier attempt's as well."""
        with contextlib.suppress(OSError):
            (self._claim.folder / PROGRESS).unlink()


@dataclass(frozen=True, kw_only=True, slots=True)
class Live:
    """What `progress.json` says.

    Attributes:
        losses: training means in nats per target; those that are finite.
        machine: host name of the worker.
        started, written: of the attempt and of the file, ISO 8601 in UTC.
    """

    owner: str
    tokens: int
    train_tokens: int
    tokens_per_second: float
    losses: dict[str, float] = field(default_factory=dict)
    machine: str
    pid: int
    started: str
    written: str
    unit: str = "tokens"


def read_live(folder: Path) -> Live | None:
    """The last words of a cell; None where there are none or they cannot be read."""
    try:
        content: dict[str, Any] = json.loads((folder / PROGRESS).read_bytes())
        return Live(
            owner=str(content["owner"]),
            tokens=int(content["tokens"]),
            train_tokens=int(content["train_tokens"]),
            tokens_per_second=float(content["tokens_per_second"]),
            losses={
                str(term): float(nats)
                for term, nats in content["losses"].items()
                if math.isfinite(nats)
            },
            machine=machine_of(str(content["place"])),
            pid=int(content["pid"]),
            started=str(content["started"]),
            written=str(content["written"]),
            unit=str(content.get("unit", "tokens")),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def machine_of(where: str) -> str:
    """The host name in a place as `scaling.claims.place` gives it."""
    return where.partition("/")[0]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
