"""Sealed JSON: a file that carries a checksum of its own content, and a version of its schema.

The checksum is the last entry of the object: SHA-256 over the file as it would be without it, so
that the common case is one hash over the bytes. A file that was only laid out anew (line ends,
indentation) is still whole; any other change is found. `analysis.sealed` reads the same form.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

from scaling.errors import DamagedFile

Built = TypeVar("Built")

CHECKSUM = "checksum"

_MARK = b',\n "checksum": "'
_END = b'"\n}\n'
# From this version on, records and listings of cells carry a checksum.
_FIRST_SEALED_VERSION = 2

Migration = Callable[[dict[str, Any]], dict[str, Any]]


class SealedRecord(ABC):
    """What the records of runs and of evaluations share: how they are written and read."""

    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)  # type: ignore[call-overload, no-any-return]

    def to_json(self) -> str:
        """Sealed JSON: see `seal`."""
        return seal(self.to_dict())

    @classmethod
    @abstractmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Builds a record from JSON of this or an earlier schema version.

        Raises:
            ValueError: the schema version is unknown, or a field of the spec is wrong.
            TypeError, KeyError: a field is missing.
        """

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads a record, checksum and all.

        Raises:
            DamagedFile: it is not as it was written.
            SchemaError: it is of a schema version that this suite does not know.
        """
        return build(cls.from_dict, unseal(path.read_bytes(), path), path)


class SchemaError(ValueError):
    """A file of a schema that this suite does not read."""


def seal(content: Mapping[str, Any]) -> str:
    """The JSON text of `content`, its checksum at the end."""
    body = _text(content)
    return f"{body[:-2]}{_MARK.decode()}{_digest(body.encode())}{_END.decode()}"


def is_sealed(data: bytes) -> bool:
    """Whether the bytes are as `seal` made them; quick, and False says nothing yet."""
    body, mark, rest = data.rpartition(_MARK)
    return bool(mark) and rest == _digest(body, b"\n}").encode() + _END


def unseal(data: bytes, path: Path) -> dict[str, Any]:
    """The content of a sealed file, without the checksum.

    Args:
        path: for messages.
    Raises:
        DamagedFile: it is no JSON object, or its checksum is wrong or missing.
    """
    try:
        content = json.loads(data)
    except ValueError as error:
        raise DamagedFile(path, f"is not whole JSON ({error})") from None
    if not isinstance(content, dict):
        raise DamagedFile(path, f"holds {type(content).__name__}, not an object")
    if is_sealed(data):
        del content[CHECKSUM]
        return content
    return checked(content, path)


def checked(content: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """`content` without its checksum; raises DamagedFile where that is wrong or missing."""
    unsealed = {name: value for name, value in content.items() if name != CHECKSUM}
    checksum = content.get(CHECKSUM)
    if checksum is None:
        version = content.get("schema_version")
        if not isinstance(version, int) or version >= _FIRST_SEALED_VERSION:
            raise DamagedFile(path, "has no checksum, which its schema version asks for")
    elif checksum != _digest(_text(unsealed).encode()):
        raise DamagedFile(path, "has a checksum that is not that of its content")
    return unsealed


def build(make: Callable[[dict[str, Any]], Built], content: dict[str, Any], path: Path) -> Built:
    """What `make` makes of the content of a sealed file.

    Raises:
        DamagedFile: a field is missing or wrong, which a checksum of its own would have shown.
        SchemaError: it is of a schema version that this suite does not know.
    """
    try:
        return make(content)
    except SchemaError:
        raise
    except (AssertionError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise DamagedFile(path, f"is no record ({type(error).__name__}: {error})") from None


def migrate(
    content: dict[str, Any], migrations: Mapping[int, Migration], version: int, what: str
) -> dict[str, Any]:
    """`content` in the form of `version`; each migration leads from its version to the next.

    Raises:
        SchemaError: no migration starts from the version that it has.
    """
    while (found := content.get("schema_version")) != version:
        if not isinstance(found, int) or found not in migrations:
            raise SchemaError(
                f"{what} of schema version {found!r}; this suite reads "
                f"{', '.join(map(str, sorted({*migrations, version})))}: update the suite"
            )
        content = migrations[found](content)
    return content


def _text(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=1, allow_nan=False)


def _digest(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()
