"""cells.json: which cells a sweep consists of, sealed by a checksum."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scaling.errors import DamagedFile
from scaling.files import write_atomic
from scaling.sealed import Migration, migrate, seal, unseal

SCHEMA_VERSION = 2

# Version -> what makes a listing of the next one of it. Version 1 had no checksum.
MIGRATIONS: dict[int, Migration] = {1: lambda listing: listing | {"schema_version": 2}}


def write_listing(path: Path, sweep: str, cells: list[dict[str, Any]]) -> None:
    write_atomic(path, seal({"schema_version": SCHEMA_VERSION, "sweep": sweep, "cells": cells}))


def read_listing(path: Path) -> list[dict[str, Any]]:
    """The cells that are listed.

    Raises:
        DamagedFile: it is not as it was written. FileNotFoundError: it is not there.
        SchemaError: it is of a schema version that this suite does not know.
    """
    content = unseal(path.read_bytes(), path)
    content = migrate(content, MIGRATIONS, SCHEMA_VERSION, f"{path}:")
    cells = content.get("cells")
    if not isinstance(cells, list) or not all(isinstance(cell, dict) for cell in cells):
        raise DamagedFile(path, "lists no cells")
    return cells
