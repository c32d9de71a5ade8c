"""Who needs less compute for the same loss, in a sentence with all that it rests on."""

from __future__ import annotations

import math
from collections.abc import Sequence

from analysis.agreement import law_name
from analysis.comparison import Comparison
from analysis.multiplier_result import Multiplier
from analysis.report.sentences import sentence
from analysis.study import Study
from analysis.style import number
from analysis.values import Estimate

# The law whose fits give compute at equal loss.
_LAW = "chinchilla"


def open_or_closed(m: Estimate) -> str:
    """A factor with its interval in words: both ends, or the one that there is."""
    box = m.interval
    if box is None:
        return f"{number(m.value)} (no interval)"
    value = number(m.value) if math.isfinite(m.value) else "no finite number of"
    if box.low > 0 and math.isfinite(box.high):
        return f"{value} [{number(box.low)}, {number(box.high)}]"
    if box.low > 0:
        return f"at least {number(box.low)} (estimate {value}, no upper end)"
    if math.isfinite(box.high):
        return f"at most {number(box.high)} (estimate {value}, no lower end)"
    return f"{value} (the interval has no end on either side)"


def level_lead(found: Multiplier, levels: Comparison, bounded: Sequence[str], on: str) -> str:
    """Who needs less compute, on the one yardstick of all arms, and what that rests on."""
    budget = found.common_range[1]
    m = found.at(budget)
    box = m.interval
    assert box is not None, "a multiplier has an interval"
    factor = (
        f"at {budget:.2g} FLOPs {found.reference} needs {open_or_closed(m)} times the compute of "
        f"{found.group} for the same loss"
    )
    if box.low <= 1 <= box.high:
        claim = f"on {on}, the shared yardstick, neither is shown to need less compute: {factor}"
    else:
        ahead = found.group if box.low > 1 else found.reference
        by = ", by laws that are in doubt" if _doubted(found, levels) else ""
        claim = f"on {on}, the yardstick that they share{by}, {ahead} needs less compute: {factor}"
    return sentence("; ".join([claim, *_caveats(found, levels, bounded, m.value)]))


# A factor beyond this is reached by a law far outside the runs that it was fitted to.
_FAR = 3.0


def upper_bounds(study: Study, levels: Comparison) -> list[str]:
    """Groups whose bits per byte are upper bounds, where that is the yardstick."""
    frame = study.table.frame
    if levels.columns["loss"] != "bits_per_byte" or "bits_per_byte_kind" not in frame:
        return []
    return [str(g) for g in frame["group"][frame["bits_per_byte_kind"] == "upper_bound"].unique()]


def _doubted(found: Multiplier, levels: Comparison) -> dict[str, str]:
    """Group -> the first doubt about the law that gives its frontier."""
    laws = {g: levels.arms[g].named(law_name(_LAW)) for g in (found.group, found.reference)}
    return {group: law.doubts[0] for group, law in laws.items() if law and law.doubts}


def _caveats(
    found: Multiplier, levels: Comparison, bounded: Sequence[str], factor: float
) -> list[str]:
    """What a factor of compute rests on, beyond its interval."""
    caveats = []
    if not math.isfinite(factor) or not 1 / _FAR <= factor <= _FAR:
        reach = "without end" if not 0 < factor < math.inf else (
            f"{abs(math.log10(factor)):.1f} decades"
        )  # fmt: skip
        caveats.append(f"that extrapolates the law of {found.reference} {reach}")
    caveats += [
        f"the law of {group} is in doubt ({doubt.partition(':')[0]})"
        for group, doubt in _doubted(found, levels).items()
    ]
    for group in bounded:
        other = found.group if group == found.reference else found.reference
        if group in (found.group, found.reference) and other not in bounded:
            caveats.append(
                f"the losses of {group} are upper bounds, so in truth it stands better than this"
            )
    return caveats
