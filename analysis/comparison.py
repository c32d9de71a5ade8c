"""Comparison: what may be said about the groups of one table, and what it rests on."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from analysis.agreement import AgreementResult
from analysis.difference import Verdict
from analysis.joint_result import JointResult
from analysis.multiplier_result import Multiplier
from analysis.shown import Shown, as_html, flag_lines
from analysis.style import printed
from analysis.values import Estimate, Flag


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """a(group) - a(reference) by one approach.

    Attributes:
        estimate: None where one of the two has none; `reason` says why.
        is_sound: both sides are free of doubts, so that the verdict may rest on it.
    """

    group: str
    reference: str
    approach: str
    estimate: Estimate | None
    is_sound: bool
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Comparison(Shown):
    """What may be said about the groups of one table.

    Attributes:
        by: the column of the groups; `reference`: the group that the others are compared with.
        yardsticks: group -> kind of its loss.
        refusal: why levels of loss are not compared; empty where they are.
        arms: group -> the exponent from every approach.
        differences: of a, per group and approach.
        joint: nested sharing; None without a common yardstick or where it cannot be fitted.
        multipliers: group -> compute multiplier against the reference.
        missing: part -> why it is not there.
        verdicts: sentences with the interval that each rests on; the first is about a.
    """

    by: str
    groups: tuple[str, ...]
    reference: str
    yardsticks: dict[str, str]
    refusal: str
    arms: dict[str, AgreementResult]
    differences: tuple[Difference, ...]
    joint: JointResult | None
    multipliers: dict[str, Multiplier]
    missing: dict[str, str]
    verdicts: tuple[Verdict, ...]
    n_runs: dict[str, int]
    excluded: pd.DataFrame
    columns: dict[str, str]
    labels: dict[str, str]
    flags: tuple[Flag, ...]
    seed: int

    @property
    def is_one_yardstick(self) -> bool:
        return not self.refusal

    @property
    def verdict(self) -> Verdict:
        """The first verdict: the exponent of N* over C of the first group against the reference."""
        return self.verdicts[0]

    def frame(self) -> pd.DataFrame:
        """One row per difference: group, reference, approach, value, low, high, sound, reason."""
        rows = []
        for x in self.differences:
            interval = x.estimate.interval if x.estimate else None
            rows.append({
                "group": x.group, "reference": x.reference, "approach": x.approach,
                "value": x.estimate.value if x.estimate else None,
                "low": interval.low if interval else None,
                "high": interval.high if interval else None,
                "sound": x.is_sound, "reason": x.reason,
            })  # fmt: skip
        return pd.DataFrame(rows)

    def summary(self) -> str:
        """Verdicts, refusal and warnings as lines of text."""
        return "\n".join([*self._lines(), *flag_lines(self.flags)])

    def _lines(self) -> list[str]:
        lines = [verdict.sentence for verdict in self.verdicts]
        if self.joint is not None:
            lines.append(self.joint.sentence)
        if self.refusal:
            lines.append(f"losses are not compared: {self.refusal}")
        return lines + [f"{part}: {reason}" for part, reason in self.missing.items()]

    def _repr_html_(self) -> str:
        heads = ("group", "reference", "approach", "a(group) - a(reference)", "sound", "reason")
        rows = [
            (x.group, x.reference, x.approach, printed(x.estimate) if x.estimate else "–",
             "yes" if x.is_sound else "no", x.reason)
            for x in self.differences
        ]  # fmt: skip
        return as_html(self._lines(), heads=heads, rows=rows, flags=self.flags)
