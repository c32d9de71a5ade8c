"""Keeps keys and tokens of the environment out of all that is written: records, logs, tracebacks.

Messages of libraries may quote a request with its credentials; whatever stands in a variable whose
name says that it is secret is replaced by that name.
"""

from __future__ import annotations

import os
import re
from typing import Any, TextIO

_SECRET = re.compile(
    r"(^|_)(API_?KEY|KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?)(_|$)", re.IGNORECASE
)
# Shorter values, such as "1" or "true", are no secrets and would be found in any text.
_MIN_LENGTH = 8


def redact(text: str) -> str:
    """`text` with the value of each secret variable of the environment replaced by its name."""
    for name, value in _secrets():
        text = text.replace(value, f"<{name}>")
    return text


class RedactedStream:
    """A text stream that redacts each write, and is the wrapped one in all else."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(redact(text))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _secrets() -> list[tuple[str, str]]:
    """Name and value, the longest first: one may be part of another."""
    found = [
        (name, value)
        for name, value in os.environ.items()
        if len(value) >= _MIN_LENGTH and _SECRET.search(name)
    ]
    return sorted(found, key=lambda pair: -len(pair[1]))
