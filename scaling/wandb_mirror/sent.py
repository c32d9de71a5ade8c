"""What a W&B project is known to hold of the store: one small file for each project."""

from __future__ import annotations

import contextlib
import fcntl
import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from scaling.errors import TrackingError
from scaling.files import write_atomic
from scaling.wandb_mirror.project import Project

_SCHEMA_VERSION = 1


class Sent:
    """Run id -> digest of what the server has confirmed; lost, it is found out anew.

    Attributes:
        path: `<root>/wandb/sent/<host>.<entity>.<project>.json`.
    """

    def __init__(self, root: Path, server: str, project: Project) -> None:
        host = re.sub(r"[^A-Za-z0-9.-]", "_", urlsplit(server).netloc or server)
        name = f"{host}.{project.entity}.{project.project}"
        self.path = root / "wandb" / "sent" / f"{name}.json"
        self._target = {"server": server, "project": project.path}
        self._digests: dict[str, str] = self._read()

    def digest(self, name: str) -> str | None:
        return self._digests.get(name)

    def confirm(self, name: str, digest: str) -> None:
        """Notes that the server holds `name` in the state `digest`."""
        if self._digests.get(name) == digest:
            return
        self._digests[name] = digest
        content = {"schema_version": _SCHEMA_VERSION, **self._target, "sent": self._digests}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(self.path, json.dumps(content, indent=1) + "\n")

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Raises TrackingError where another process of this machine sends to the project."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.with_suffix(".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise TrackingError(
                    f"another `scaling sync` sends to {self._target['project']} at this moment; "
                    "wait for it"
                ) from None
            yield

    def _read(self) -> dict[str, str]:
        try:
            content = json.loads(self.path.read_bytes())
            return {str(name): str(digest) for name, digest in content["sent"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}  # the server is asked instead
