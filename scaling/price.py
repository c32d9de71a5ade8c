"""What an hour of a device costs, in whatever unit its user pays: 2.5, or 2.5 EUR."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from scaling.errors import SweepError

PARAMETER = "price_per_device_hour"

_PRICE = re.compile(r"\s*([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*(\S.{0,15})?\s*", re.ASCII)


@dataclass(frozen=True, kw_only=True, slots=True)
class Price:
    """`amount` of `unit` per device-hour; the unit may be empty."""

    amount: float
    unit: str = ""

    def of(self, device_hours: float) -> str:
        """The cost in words."""
        cost = self.amount * device_hours
        return f"{cost:{',.2f' if cost >= 1 else '.2g'}} {self.unit}".rstrip()


def parse_price(value: Any) -> Price:
    """A number, or a number and a label; raises SweepError."""
    found = None
    if isinstance(value, int | float) and not isinstance(value, bool):
        if math.isfinite(value) and value >= 0:
            return Price(amount=float(value))
    elif isinstance(value, str):
        found = _PRICE.fullmatch(value)
    if found is None or not (found[2] or "").isprintable():
        raise SweepError(
            f"{PARAMETER}={value!r} is not a number with an optional unit; write 2.5 or '2.5 EUR'"
        )
    return Price(amount=float(found[1]), unit=(found[2] or "").strip())


def price_of(parameters: dict[str, Any]) -> Price | None:
    """The price among the parameters of a sweep file; raises SweepError where it is an axis."""
    entry = parameters.get(PARAMETER)
    if entry is None:
        return None
    if "value" not in entry:
        raise SweepError(f"{PARAMETER} has several values, and no run depends on it; give one")
    return parse_price(entry["value"])
