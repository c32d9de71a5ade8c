"""Who needs less compute for the same loss, in a sentence with all that it rests on."""

from __future__ import annotations

import math

from analysis.multiplier_result import Multiplier, doubt_lines, factor_text
from analysis.report.sentences import sentence

# A factor beyond this is reached by a law far outside the runs that it was fitted to.
_FAR = 3.0


def level_lead(found: Multiplier, on: str) -> str:
    """Who needs less compute, on the one yardstick of all arms, and what that rests on."""
    m = found.at(found.common_range[1])
    box = m.interval
    assert box is not None, "a multiplier has an interval"
    factor = factor_text(found)
    if box.low <= 1 <= box.high:
        claim = f"on {on}, the shared yardstick, neither is shown to need less compute: {factor}"
    else:
        ahead = found.group if box.low > 1 else found.reference
        by = f", {found.hedge}" if found.hedge else ""
        claim = f"on {on}, the yardstick that they share{by}, {ahead} needs less compute: {factor}"
    return sentence("; ".join([claim, *_caveats(found, m.value)]))


def _caveats(found: Multiplier, factor: float) -> list[str]:
    """What a factor of compute rests on, beyond its interval."""
    caveats = []
    if not math.isfinite(factor) or not 1 / _FAR <= factor <= _FAR:
        reach = "without end" if not 0 < factor < math.inf else (
            f"{abs(math.log10(factor)):.1f} decades"
        )  # fmt: skip
        caveats.append(f"that extrapolates the law of {found.reference} {reach}")
    caveats += doubt_lines(found)
    for group in found.bounded:
        other = found.group if group == found.reference else found.reference
        if group in (found.group, found.reference) and other not in found.bounded:
            caveats.append(
                f"the losses of {group} are upper bounds, so in truth it stands better than this"
            )
    return caveats
