"""Claims that ended: `claims/<token>.<end>.json`, from which the next token and the limits follow.

`released` and `ended` are ends of the owner's own making. `died` is a death that the launcher of
the process saw: the cell itself may be the cause, so few of them are borne. `lost` is a claim whose
owner fell silent, with its machine, its launcher or its network: that says little of the cell.
"""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from pathlib import Path
from typing import Any, Literal

from scaling.files import write_atomic

End = Literal["released", "ended", "died", "lost"]


def make_history(folder: Path) -> Path:
    history = folder / "claims"
    history.mkdir(exist_ok=True)
    return history


def last_token(folder: Path) -> int:
    """The highest token of the claims that ended; 0 before the first."""
    return max((int(path.name[:6]) for path in _ended(folder)), default=0)


def deaths(folder: Path, *, since_seconds: float = 0.0) -> list[str]:
    """Why workers of this cell died, since the last retry.

    Args:
        since_seconds: leaves out those before this time of the file server.
    """
    return _reasons(folder, "died", since_seconds)


def losses(folder: Path) -> list[str]:
    """Why claims were taken from workers that had fallen silent, since the last retry."""
    return _reasons(folder, "lost")


def forgive(folder: Path) -> None:
    """Counts deaths and losses from zero again; their files, and so the tokens, stay."""
    for path in _ended(folder):
        for end in ("died", "lost"):
            if path.name.endswith(f".{end}.json"):
                with contextlib.suppress(FileNotFoundError):
                    os.rename(path, path.with_name(f"{path.name[:6]}.{end}-forgiven.json"))


def read_claim(path: Path) -> dict[str, Any] | None:
    """What the claim at `path` says; None when there is none, empty when it is damaged."""
    try:
        held = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError:
        return {}
    return held if isinstance(held, dict) else {}


def put_aside(path: Path, held: dict[str, Any], end: End, reason: str | None = None) -> bool:
    """Moves the claim `held` from `path` into the history.

    Between a look and a rename another claim may take the place: what was moved is looked at once
    more, and put back if it is not the one that was meant.

    Returns:
        False when another claim stands there, or none: nothing has changed then.
    """
    if read_claim(path) != held:
        return False
    aside = path.with_name(f".claim.{uuid.uuid4().hex[:12]}.tmp")
    try:
        os.rename(path, aside)
    except FileNotFoundError:
        # Over a network the answer to a rename that was made may get lost.
        if not aside.exists():
            return False
    if (moved := read_claim(aside)) != held:
        _put_back(aside, path, moved or {})
        return False
    ended = _name(path.parent, held, end)
    os.rename(aside, ended)
    if reason is not None:
        write_atomic(ended, json.dumps(held | {"reason": reason}))
    return True


def _put_back(aside: Path, path: Path, moved: dict[str, Any]) -> None:
    try:
        os.link(aside, path)
    except FileExistsError:
        # A third one has the cell by now; the owner of this claim finds out at its next write.
        os.rename(aside, _name(path.parent, moved, "lost"))
    else:
        os.unlink(aside)


def _name(folder: Path, held: dict[str, Any], end: End) -> Path:
    token = held.get("token")
    number = token if isinstance(token, int) else last_token(folder) + 1
    return make_history(folder) / f"{number:06d}.{end}.json"


def _reasons(folder: Path, end: End, since_seconds: float = 0.0) -> list[str]:
    paths = sorted(path for path in _ended(folder) if path.name.endswith(f".{end}.json"))
    paths = [path for path in paths if path.stat().st_mtime > since_seconds]
    return [str((read_claim(path) or {}).get("reason", "nobody saw why")) for path in paths]


def _ended(folder: Path) -> list[Path]:
    try:
        names = os.listdir(folder / "claims")
    except FileNotFoundError:
        return []
    return [folder / "claims" / name for name in names if name[:6].isdigit()]
