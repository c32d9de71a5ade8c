"""Files that the trainer sealed: their checksum, and the schema versions that are read.

The form is that of `scaling.sealed`: the entry `checksum`, the last of the object, is SHA-256 over
the JSON without it, indented by one. Version 1 had no checksum.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from analysis.errors import AnalysisError

_FIRST_SEALED_VERSION = 2

Migration = Callable[[dict[str, Any]], dict[str, Any]]

# Version -> what makes content of the next one of it.
RECORD_VERSION = 2
RECORD_MIGRATIONS: dict[int, Migration] = {1: lambda record: record | {"schema_version": 2}}
LISTING_VERSION = 2
LISTING_MIGRATIONS: dict[int, Migration] = {1: lambda listing: listing | {"schema_version": 2}}


class DamagedFile(AnalysisError):
    """A file that is not as the trainer wrote it; no number of it may be used."""


def read_sealed(path: Path) -> dict[str, Any]:
    """The content of a sealed file, without its checksum.

    Raises:
        DamagedFile: it cannot be read, is no JSON object, or its checksum is wrong or missing.
    """
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise DamagedFile(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise DamagedFile(f"{path} holds {type(content).__name__}; an object is expected")
    return checked(content, str(path))


def checked(content: Mapping[str, Any], source: str) -> dict[str, Any]:
    """`content` without its checksum; raises DamagedFile where that is wrong or missing."""
    unsealed = {name: value for name, value in content.items() if name != "checksum"}
    checksum = content.get("checksum")
    if checksum is None:
        version = content.get("schema_version")
        if isinstance(version, int) and version >= _FIRST_SEALED_VERSION:
            raise DamagedFile(f"{source} has no checksum, which its schema version asks for")
    elif checksum != checksum_of(unsealed):
        raise DamagedFile(f"{source} has a checksum that is not that of its content")
    return unsealed


def checksum_of(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, indent=1).encode()).hexdigest()


def migrate(
    content: dict[str, Any], migrations: Mapping[int, Migration], version: int, what: str
) -> dict[str, Any]:
    """`content` in the form of `version`.

    Raises:
        AnalysisError: no migration starts from the version that it has.
    """
    while (found := content.get("schema_version")) != version:
        if not isinstance(found, int) or found not in migrations:
            readable = ", ".join(map(str, sorted({*migrations, version})))
            raise AnalysisError(
                f"{what} is of schema version {found!r}; this suite reads {readable}: update it"
            )
        content = migrations[found](content)
    return content
