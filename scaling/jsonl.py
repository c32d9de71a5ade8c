"""Reads .jsonl and .jsonl.gz files: an object per line; what is wrong names file and line."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO


def read_rows(
    path: Path, *, error: type[ValueError], example: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each object with where it stands, such as `a.jsonl, line 3`; blank lines hold none.

    Args:
        error: raised, with one line for people, for what is no object in JSON and UTF-8 and for a
            file that breaks off.
        example: an object as it should be.
    """
    number = 0
    try:
        with _opened(path) as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    where = f"{path}, line {number}"
                    yield where, _object(line, where, error, example)
    except (EOFError, zlib.error, gzip.BadGzipFile) as cause:
        raise error(
            f"{path} breaks off after line {number}: it is no whole gzip file ({cause}); "
            "fetch or compress it again"
        ) from cause


def _opened(path: Path) -> BinaryIO | gzip.GzipFile:
    return gzip.open(path, "rb") if path.name.endswith(".gz") else path.open("rb")


def _object(line: bytes, where: str, error: type[ValueError], example: str) -> dict[str, Any]:
    try:
        row = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as cause:
        raise error(
            f"{where}: byte {cause.start} of the line is not UTF-8; convert the file to UTF-8"
        ) from cause
    except ValueError as cause:
        raise error(
            f"{where} is not JSON ({cause}); each line is an object such as {example}: mend or "
            "remove it"
        ) from cause
    if not isinstance(row, dict):
        raise error(f"{where} is no object; each line is one such as {example}")
    return row
