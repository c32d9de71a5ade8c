"""Who works on a cell: exclusive claims with a heartbeat, a takeover and a fencing token.

A claim is the file `claim.json` in the folder of a cell, made by link(), so that one of several
takers gets it. Its owner renews the file's mtime; a claim whose mtime is old, by the clock of the
file server, or whose process is gone from this machine, may be taken over. A claim that ended is
kept under `claims/<token>.<end>.json`, from which the next token follows: tokens only grow.
After Kleppmann, "How to do distributed locking" (2016): a lease alone does not keep a paused
owner from writing, the token that is checked at each write does.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import tempfile
import time
import uuid
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from scaling.files import write_atomic, write_exclusive

HEARTBEAT_SECONDS = 5.0
STALE_SECONDS = 60.0

End = Literal["released", "ended", "died"]


class ClaimLost(RuntimeError):
    """Another worker has taken the cell over: stop, and write nothing more."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """The right to work on one cell.

    Attributes:
        token: grows with each claim of the cell.
        owner: random; two claims never share it.
    """

    folder: Path
    token: int
    owner: str

    @property
    def path(self) -> Path:
        return self.folder / "claim.json"

    def check(self) -> None:
        """Raises ClaimLost unless the cell is still this owner's."""
        for _ in range(5):
            held = read_claim(self.path)
            if held is not None:
                break
            # A takeover that picked the wrong claim puts it back within milliseconds.
            time.sleep(0.02)
        if held is None or held.get("owner") != self.owner:
            raise ClaimLost(f"{self.folder.name}: claim {self.token} was taken over")

    def beat(self) -> None:
        """Renews the claim by the file server's own clock; raises ClaimLost."""
        self.check()
        with contextlib.suppress(FileNotFoundError):
            os.utime(self.path)

    def end(self, end: End) -> None:
        """Gives the cell free; quiet when it is another's by now."""
        with contextlib.suppress(ClaimLost, FileNotFoundError):
            self.check()
            os.rename(self.path, _history(self.folder) / f"{self.token:06d}.{end}.json")


def take(folder: Path) -> Claim | None:
    """Claims the cell in `folder`; None when a live worker has it."""
    path = folder / "claim.json"
    held = read_claim(path)
    if held is not None and not (_is_stale(path, held) and _move_aside(path, held)):
        return None
    claim = Claim(folder=folder, token=last_token(folder) + 1, owner=uuid.uuid4().hex)
    if not write_exclusive(path, _content(claim)):
        return None
    # Another claim may have come and gone between the count and the link.
    if (last := last_token(folder)) >= claim.token:
        claim = Claim(folder=folder, token=last + 1, owner=claim.owner)
        write_atomic(path, _content(claim))
    return claim


def is_stale(path: Path, now_seconds: float | None = None) -> bool:
    """Whether the owner of the claim at `path` is dead or silent.

    Args:
        now_seconds: the file server's time, where the caller has it already.
    """
    held = read_claim(path)
    return held is not None and _is_stale(path, held, now_seconds)


def read_claim(path: Path) -> dict[str, Any] | None:
    """What the claim at `path` says; None when there is none, empty when it is damaged."""
    try:
        held: dict[str, Any] = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except json.JSONDecodeError:
        return {}
    return held


def server_seconds(folder: Path) -> float:
    """The time by the clock that gives `folder` its mtimes, which may not be ours."""
    try:
        with tempfile.TemporaryFile(prefix=".clock-", dir=folder) as probe:
            return os.fstat(probe.fileno()).st_mtime
    except OSError:
        return time.time()  # a store that is only read: nobody here can take a claim over


def last_token(folder: Path) -> int:
    """The highest token of the claims that ended; 0 before the first."""
    return max((int(path.name[:6]) for path in _ended(folder)), default=0)


def deaths(folder: Path) -> list[str]:
    """Why workers of this cell died, since the last retry."""
    died = sorted(path for path in _ended(folder) if path.name.endswith(".died.json"))
    return [str((read_claim(path) or {}).get("reason", "its heartbeat stopped")) for path in died]


def record_death(folder: Path, pid: int, reason: str) -> None:
    """Says that the worker `pid` of this machine died, and frees the claim that it held."""
    path = folder / "claim.json"
    held = read_claim(path)
    if held is not None and held.get("place") == place() and held.get("pid") == pid:
        died = _history(folder) / f"{int(held['token']):06d}.died.json"
        with contextlib.suppress(FileNotFoundError):
            os.rename(path, died)
            write_atomic(died, json.dumps(held | {"reason": reason}))
        return
    # It died before it held the cell: the death counts all the same, or it would go on for ever.
    content = json.dumps({"pid": pid, "place": place(), "reason": reason})
    while not write_exclusive(
        _history(folder) / f"{last_token(folder) + 1:06d}.died.json", content
    ):
        pass


def forgive_deaths(folder: Path) -> None:
    """Counts attempts from zero again."""
    for path in _ended(folder):
        if path.name.endswith(".died.json"):
            os.rename(path, path.with_name(path.name.replace(".died.", ".forgiven.")))


@cache
def place() -> str:
    """The machine, its boot and its process space: where a process id means one process."""
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(os.readlink("/proc/self/ns/pid"))
    return "/".join(parts)


def _content(claim: Claim) -> str:
    return json.dumps(
        {
            "token": claim.token,
            "owner": claim.owner,
            "place": place(),
            "pid": os.getpid(),
            "pid_started": _started(os.getpid()),
        }
    )


def _is_stale(path: Path, held: dict[str, Any], now_seconds: float | None = None) -> bool:
    if held.get("place") == place() and _started(int(held["pid"])) != held["pid_started"]:
        return True
    return _is_old(path, now_seconds)


def _is_old(path: Path, now_seconds: float | None = None) -> bool:
    try:
        beat_seconds = path.stat().st_mtime
    except FileNotFoundError:
        return False
    if now_seconds is None:
        now_seconds = server_seconds(path.parent)
    return now_seconds - beat_seconds > STALE_SECONDS


def _move_aside(path: Path, judged: dict[str, Any]) -> bool:
    """Moves the claim that was judged stale into the history; False when another was first."""
    token = int(judged.get("token", last_token(path.parent) + 1))
    guard = _history(path.parent) / f"{token:06d}.taking"
    if not write_exclusive(guard, "") and not _is_old(guard):
        return False
    aside = path.with_name(f".claim.{uuid.uuid4().hex[:12]}.tmp")
    try:
        os.rename(path, aside)
    except FileNotFoundError:
        return False
    if read_claim(aside) != judged:
        # The maker of the guard was slow and not dead, and this was its fresh claim.
        with contextlib.suppress(FileExistsError):
            os.link(aside, path)
        os.unlink(aside)
        return False
    os.rename(aside, _history(path.parent) / f"{token:06d}.died.json")
    return True


def _started(pid: int) -> str | None:
    """When the process started, in the kernel's own count; None when it is gone."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        if Path("/proc/self/stat").exists():
            return None
        return _started_without_proc(pid)
    # The name of the program, in brackets, may itself hold brackets and spaces.
    state, *numbers = status.rpartition(")")[2].split()
    return None if state == "Z" else numbers[18]


def _started_without_proc(pid: int) -> str | None:
    import psutil

    try:
        return str(psutil.Process(pid).create_time())
    except psutil.NoSuchProcess:
        return None


def _history(folder: Path) -> Path:
    history = folder / "claims"
    history.mkdir(exist_ok=True)
    return history


def _ended(folder: Path) -> list[Path]:
    try:
        names = os.listdir(folder / "claims")
    except FileNotFoundError:
        return []
    return [folder / "claims" / name for name in names if name[:6].isdigit()]
