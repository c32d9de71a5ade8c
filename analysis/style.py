"""How results look: colours, marks, axis labels, numbers in words.

Nothing here imports matplotlib, so tables and the terminal use the same names and numbers as
the figures. Arms differ in colour, marker and line style at once: each figure stays readable in
grey and for the colour-blind (the colours differ in lightness as well).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from analysis.values import Estimate

# Every colour of a drawing comes from this dict; the value is the name of the CSS variable that
# takes its place in a page, so that one drawing serves light and dark.
INK, PAPER, GRID, FAINT = "#1c1f24", "#ffffff", "#dfe2e6", "#6b7280"
_ARMS = ("#1f4e9c", "#d9661f", "#0f8a6c", "#8e3a86", "#6b5b00")
_RAMP = ("#2d1e5f", "#3f3a8c", "#2f5fa8", "#1f83a6", "#239a8f", "#4fae6d", "#8fb93f", "#c9a227")
CSS_VARIABLES: dict[str, str] = {
    INK: "--ink",
    PAPER: "--paper",
    GRID: "--grid",
    FAINT: "--faint",
    **{colour: f"--arm-{i}" for i, colour in enumerate(_ARMS, 1)},
    **{colour: f"--ramp-{i}" for i, colour in enumerate(_RAMP, 1)},
}

# Stands beside a number that is listed and carries no verdict.
DOUBTFUL = "doubtful"

# More of them than colours, so that a colour that comes again has another marker.
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_LINES: tuple[str | tuple[int, tuple[float, ...]], ...] = (
    "-", (0, (5.0, 1.8)), (0, (1.2, 1.4)), (0, (6.0, 1.6, 1.2, 1.6)), (0, (9.0, 2.0)),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """How one series looks: colour, marker and line style together."""

    colour: str
    marker: str
    line: str | tuple[int, tuple[float, ...]]


def mark(index: int) -> Mark:
    """The mark of the arm that stands at `index` in the order of the study."""
    return Mark(
        colour=_ARMS[index % len(_ARMS)],
        marker=_MARKERS[index % len(_MARKERS)],
        line=_LINES[index % len(_LINES)],
    )


def arm_marks(groups: Iterable[str]) -> dict[str, Mark]:
    """One mark per arm, in the order of first appearance."""
    return {group: mark(i) for i, group in enumerate(dict.fromkeys(groups))}


def ramp_marks(values: Iterable[float]) -> dict[float, Mark]:
    """One mark per ordered value (a budget, a size): lightness rises with the value."""
    ordered = sorted(set(values))
    spread = (len(_RAMP) - 1) / max(1, len(ordered) - 1)
    return {
        value: Mark(
            colour=_RAMP[round(i * min(spread, len(_RAMP) - 1))],
            marker=_MARKERS[i % len(_MARKERS)],
            line=_LINES[i % len(_LINES)],
        )
        for i, value in enumerate(ordered)
    }


def in_legend(values: Iterable[float], most: int = 6) -> set[float]:
    """The values that a legend names: all, or `most` of them spread over the range."""
    ordered = sorted(set(values))
    if len(ordered) <= most:
        return set(ordered)
    return {ordered[round(i * (len(ordered) - 1) / (most - 1))] for i in range(most)}


def loss_label(loss_kind: str) -> str:
    """The axis label that names the yardstick of a loss."""
    # Where a table mixes texts or tokenizers, the kind carries their fingerprint after a comma.
    kind, comma, where = loss_kind.partition(", ")
    rate = re.fullmatch(r"mlm@([0-9.]+)(.*)", kind)
    known = {
        "clm": "next-token cross-entropy, nats per target",
        "mlm": "masked-token cross-entropy, nats per target",
        "bits_per_byte": "bits per byte of held-out text",
        "excess": "excess over the Bayes optimum (E = 0), nats per target",
    }
    label = known.get(kind, f"{kind} (unit as given in the table)")
    if rate:
        percent = f"{100 * float(rate[1]):g} %{rate[2]}"
        label = f"masked-token cross-entropy at {percent}, nats per target"
    return f"{label}{comma}{where}"


def loss_unit(loss_kind: str) -> str:
    """The short unit that stands behind a number."""
    if loss_kind.startswith("bits_per_byte"):
        return "bits per byte"
    return (
        "nats per target" if loss_kind.startswith(("clm", "mlm", "excess")) else "as in the table"
    )


_SUPERSCRIPTS = str.maketrans("0123456789-.", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻˙")


def power_of_ten(exponent: int) -> str:
    return "10" + str(exponent).translate(_SUPERSCRIPTS)


def number(value: float | None, digits: int = 3) -> str:
    """A number for people: `digits` significant ones, powers of ten beyond a million.

    Raises nothing: a missing or infinite value is printed as such.
    """
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(value)))
    if -4 <= exponent < 6:
        decimals = max(0, digits - 1 - exponent)
        return f"{value:,.{decimals}f}".replace(",", "\u202f").replace("-", "−")
    mantissa = f"{value / 10**exponent:.{digits - 1}f}"
    if float(mantissa) in (10.0, -10.0):
        exponent += 1
        mantissa = f"{value / 10**exponent:.{digits - 1}f}"
    return f"{mantissa}\u202f×\u202f{power_of_ten(exponent)}".replace("-", "−")


def flops(value: float) -> str:
    """FLOPs in short, three digits at most: `2·10¹²`, `1.25·10¹¹`."""
    exponent = math.floor(math.log10(value))
    mantissa = f"{value / 10**exponent:.3g}"
    if mantissa == "10":
        mantissa, exponent = "1", exponent + 1
    return power_of_ten(exponent) if mantissa == "1" else f"{mantissa}·{power_of_ten(exponent)}"


def count(value: float | None) -> str:
    """A count with a letter: 25.3k, 1.20M, 3.40B."""
    if value is None or math.isnan(value):
        return "–"
    for limit, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= 0.9995 * limit:  # 999,999 is 1M, not 1000k
            return f"{value / limit:.3g}{letter}"
    return f"{value:g}"


def plain(end: float, digits: int = 4) -> str:
    """The end of an interval in plain ASCII, as in logs; `unbounded` where there is none."""
    return f"{end:.{digits}g}" if math.isfinite(end) else "unbounded"


def with_interval(value: float, low: float, high: float) -> tuple[str, str, str]:
    """Value and ends with the same number of decimals, as many as the interval supports.

    An end that is not finite reads `unbounded`: the data set no limit on that side.
    """
    if math.isinf(low) or math.isinf(high):
        ends = tuple("unbounded" if math.isinf(end) else number(end) for end in (low, high))
        return number(value), ends[0], ends[1]
    width = high - low
    if not 0 < width < math.inf or max(abs(low), abs(high)) >= 1e6:
        return number(value), number(low), number(high)
    exponent = math.floor(math.log10(width))
    decimals = max(0, min(2 - exponent, max(3, 1 - exponent)))
    if decimals > 6:
        return number(value), number(low), number(high)
    one, two, three = (
        f"{x:,.{decimals}f}".replace(",", "\u202f").replace("-", "−")
        # A small value in a wide interval is not nothing.
        if x == 0 or abs(x) >= 0.5 * 10**-decimals
        else number(x, 2)
        for x in (value, low, high)
    )
    return one, two, three


def interval(value: float, low: float | None, high: float | None) -> str:
    """`0.347 [0.317, 0.372]`; without an interval the value alone."""
    if low is None or high is None or math.isnan(low) or math.isnan(high):
        return number(value)
    text, bottom, top = with_interval(value, low, high)
    return f"{text} [{bottom}, {top}]"


def printed(estimate: Estimate) -> str:
    """An estimate with the interval that it carries."""
    box = estimate.interval
    if box is None:
        return number(estimate.value)
    return interval(estimate.value, box.low, box.high)
