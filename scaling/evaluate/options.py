"""The options of a measurement: from what a sweep or a command gives to a checked dataclass."""

from __future__ import annotations

import dataclasses
import itertools
import types
import typing
from collections.abc import Mapping
from typing import Any

from scaling.errors import SweepError
from scaling.words import did_you_mean

_WRONG = object()


def make_options(kind: type[Any], given: Mapping[str, Any], *, what: str) -> Any:
    """An instance of the dataclass `kind`.

    Args:
        what: the measurement, for messages.
    Raises:
        SweepError: an option is unknown or of another type. What the dataclass raises itself.
    """
    names = [entry.name for entry in dataclasses.fields(kind)]
    hints = typing.get_type_hints(kind)
    values = {}
    for name, value in given.items():
        if name not in names:
            raise SweepError(f"{what} has no option {name!r}; {did_you_mean(name, names)}")
        values[name] = _as(hints[name], value)
        if values[name] is _WRONG:
            raise SweepError(f"{what}: {name}={value!r} is not {_say(hints[name])}")
    return kind(**values)


def grid(kind: type[Any], given: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The points of a grid of options: a list is an axis, unless the option itself is a list."""
    hints = typing.get_type_hints(kind)
    axes = [
        value if isinstance(value, list) and not _takes(hints.get(name), value) else [value]
        for name, value in given.items()
    ]
    return [dict(zip(given, point, strict=True)) for point in itertools.product(*axes)]


def _takes(hint: Any, value: list[Any]) -> bool:
    return hint is not None and _as(hint, value) is not _WRONG


def _as(hint: Any, value: Any) -> Any:
    """`value` as the type `hint`; `_WRONG` where it is none."""
    origin = typing.get_origin(hint)
    if origin is typing.Literal:
        return value if value in typing.get_args(hint) else _WRONG
    if origin in (types.UnionType, typing.Union):
        found = (_as(part, value) for part in typing.get_args(hint))
        return next((made for made in found if made is not _WRONG), _WRONG)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            return _WRONG
        parts = tuple(_as(typing.get_args(hint)[0], part) for part in value)
        return _WRONG if _WRONG in parts else parts
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, bool) and hint is not bool:
        return _WRONG
    return value if isinstance(value, hint) else _WRONG


def _say(hint: Any) -> str:
    if typing.get_origin(hint) is typing.Literal:
        return f"one of {', '.join(map(str, typing.get_args(hint)))}"
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        return " or ".join(_say(part) for part in typing.get_args(hint))
    if typing.get_origin(hint) is tuple:
        return f"a list, each {_say(typing.get_args(hint)[0])}"
    return {int: "a whole number", float: "a number", str: "text", bool: "true or false",
            types.NoneType: "null"}.get(hint, str(hint))  # fmt: skip
