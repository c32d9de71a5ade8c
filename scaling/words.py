"""Labels, counts and times in words, for people."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from scaling.logs import harmless


def describe(labels: Mapping[str, Any]) -> str:
    """A cell's labels on one line, safe to print."""
    return harmless(" ".join(f"{name}={in_words(value)}" for name, value in labels.items()))


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """A close name and all known ones: mappings in their own order, others sorted."""
    names = list(known) if isinstance(known, Mapping) else sorted(known)
    close = close_name(name, names)
    hint = f"did you mean {close!r}? " if close else ""
    return f"{hint}known: {', '.join(names)}"


def close_name(name: object, known: Iterable[str]) -> str | None:
    return next(iter(difflib.get_close_matches(str(name), list(known), n=1)), None)


def in_words(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def short(number: float) -> str:
    """A count with three digits and a unit: 1.23M."""
    for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return f"{number:.3g}"


def duration(seconds: float) -> str:
    """A time for people: 45 s, 12 min, 3.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
