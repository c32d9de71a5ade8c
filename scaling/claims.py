"""Who works on a cell: exclusive claims with a heartbeat, a takeover and a fencing token.

A claim is the file `claim.json` in the folder of a cell, made by link(), so that one of several
takers gets it. Its owner renews the file's mtime; a claim whose mtime is old, by the clock of the
file server and never by ours, or whose process is gone from this machine, may be taken over.
Tokens only grow: see `scaling.claim_history`.
After Kleppmann, "How to do distributed locking" (2016): a lease alone does not keep a paused
owner from writing, the token that is checked at each write does.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import threading
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from scaling.claim_history import (
    End,
    deaths,
    forgive,
    last_token,
    losses,
    make_history,
    put_aside,
    read_claim,
)
from scaling.files import write_atomic, write_exclusive
from scaling.place import place, started

__all__ = [
    "Claim", "ClaimLost", "deaths", "forgive", "losses", "put_aside", "read_claim", "take",
]  # fmt: skip

HEARTBEAT_SECONDS = 5.0
STALE_SECONDS = 60.0


class ClaimLost(RuntimeError):
    """Another worker has taken the cell over: stop, and write nothing more."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """The right to work on one cell.

    Attributes:
        token: grows with each claim of the cell.
        owner: random; two claims never share it.
        given_up: set once its owner begins to end it, after which its loss is none.
    """

    folder: Path
    token: int
    owner: str
    given_up: threading.Event = field(default_factory=threading.Event, compare=False, repr=False)

    @property
    def path(self) -> Path:
        return self.folder / "claim.json"

    def check(self) -> None:
        """Raises ClaimLost unless the cell is still this owner's."""
        self._held()

    def beat(self) -> None:
        """Renews the claim by the file server's own clock; raises ClaimLost."""
        self.check()
        with contextlib.suppress(FileNotFoundError):
            os.utime(self.path)

    def end(self, end: End) -> None:
        """Gives the cell free; quiet when it is another's by now."""
        self.given_up.set()
        with contextlib.suppress(ClaimLost, FileNotFoundError):
            put_aside(self.path, self._held(), end)

    def _held(self) -> dict[str, Any]:
        for _ in range(5):
            held = read_claim(self.path)
            if held is not None:
                break
            # Whoever moved the wrong claim aside puts it back within milliseconds.
            time.sleep(0.02)
        if held is None or held.get("owner") != self.owner:
            raise ClaimLost(f"{self.folder.name}: claim {self.token} was taken over")
        return held


def take(folder: Path) -> Claim | None:
    """Claims the cell in `folder`; None when a live worker has it."""
    path = folder / "claim.json"
    # Made now, so that the end of the claim needs no room on a disk that has filled up.
    make_history(folder)
    held = read_claim(path)
    if held is not None and not clear(path, held):
        return None
    claim = Claim(folder=folder, token=last_token(folder) + 1, owner=uuid.uuid4().hex)
    if not write_exclusive(path, _content(claim)):
        return None
    # Another claim may have come and gone between the count and the link.
    if (last := last_token(folder)) >= claim.token:
        claim = Claim(folder=folder, token=last + 1, owner=claim.owner)
        write_atomic(path, _content(claim))
    return claim


def clear(path: Path, held: dict[str, Any]) -> bool:
    """Moves the claim `held` into the history if it is stale; False when it is not, or is gone.

    Of several that find it stale one does it, under a guard that dies with its age.
    """
    if (reason := _why_stale(path, held)) is None:
        return False
    token = held.get("token")
    number = token if isinstance(token, int) else last_token(path.parent) + 1
    guard = make_history(path.parent) / f"{number:06d}.taking"
    if not write_exclusive(guard, "") and not is_old(guard):
        return False
    try:
        return put_aside(path, held, "lost", reason)
    finally:
        guard.unlink(missing_ok=True)


def is_stale(path: Path, now_seconds: float | None = None) -> bool:
    """Whether the owner of the claim at `path` is dead or silent.

    Args:
        now_seconds: the file server's time, where the caller has it already.
    """
    held = read_claim(path)
    return held is not None and _why_stale(path, held, now_seconds) is not None


def is_old(path: Path, now_seconds: float | None = None, *, seconds: float | None = None) -> bool:
    """Whether nobody has touched `path` for `seconds` (STALE_SECONDS) of the file server's time."""
    try:
        touched_seconds = path.stat().st_mtime
    except FileNotFoundError:
        return False
    if now_seconds is None:
        now_seconds = server_seconds(path.parent)
    return now_seconds - touched_seconds > (STALE_SECONDS if seconds is None else seconds)


def server_seconds(folder: Path) -> float:
    """The time by the clock that gives `folder` its mtimes, which may not be ours.

    Raises:
        OSError: nothing can be written there, so there is no telling.
    """
    with tempfile.TemporaryFile(prefix=".clock-", dir=folder) as probe:
        return os.fstat(probe.fileno()).st_mtime


def record_death(folder: Path, pid: int, reason: str) -> None:
    """Says that the worker `pid` of this machine died, and frees the claim that it held."""
    path = folder / "claim.json"
    held = read_claim(path)
    mine = held is not None and held.get("place") == place() and held.get("pid") == pid
    if held is not None and mine and put_aside(path, held, "died", reason):
        return
    # It died before it held the cell, or another has taken its claim over by now: the death
    # counts all the same, or the cell would go on for ever.
    content = json.dumps({"pid": pid, "place": place(), "reason": reason})
    history = make_history(folder)
    while not write_exclusive(history / f"{last_token(folder) + 1:06d}.died.json", content):
        pass


def _content(claim: Claim) -> str:
    return json.dumps(
        {
            "token": claim.token,
            "owner": claim.owner,
            "place": place(),
            "pid": os.getpid(),
            "pid_started": started(os.getpid()),
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
        }
    )


def _why_stale(path: Path, held: dict[str, Any], now_seconds: float | None = None) -> str | None:
    pid = held.get("pid")
    if held.get("place") == place() and isinstance(pid, int):
        if started(pid) != held.get("pid_started"):
            return "its process ended together with its launcher"
        silent = "its process made no sign of life"
    else:
        silent = "its machine fell silent"
    return silent if is_old(path, now_seconds) else None
