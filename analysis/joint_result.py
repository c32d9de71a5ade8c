"""JointResult: which parameters of a law the groups of a table share, and how it was tested."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

SIGNIFICANT = 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class SharingFit:
    """One level of sharing.

    Attributes:
        name: such as "own E"; own: the parameters that each group has for itself.
        n_parameters: of the joint law. sum_squares: of the residuals of log loss.
        aicc, bic: information criteria, lower is better.
        p_against_own: p that everything own explains no more than this: the larger one of the F
            test and of the wild bootstrap; None for the last level.
        values: group -> name -> value in the units of the columns, `a` included.
    """

    name: str
    own: tuple[str, ...]
    n_parameters: int
    sum_squares: float
    aicc: float
    bic: float
    p_f: float | None
    p_bootstrap: float | None
    values: dict[str, dict[str, float]]

    @property
    def p_against_own(self) -> float | None:
        if self.p_f is None or self.p_bootstrap is None:
            return self.p_f
        return max(self.p_f, self.p_bootstrap)


@dataclass(frozen=True, kw_only=True, slots=True)
class JointResult:
    """All levels of sharing, from one law to everything own.

    Attributes:
        chosen: the simplest level that is not rejected against everything own at 5 %.
        best_aicc: the level with the lowest AICc; where it is another one, both are worth a look.
        sentence: what the groups share, with the p-value.
    """

    law: str
    groups: tuple[str, ...]
    levels: tuple[SharingFit, ...]
    chosen: str
    best_aicc: str
    sentence: str
    n_runs: int
    n_clusters: int
    n_boot: int
    yardstick: str

    def frame(self) -> pd.DataFrame:
        """One row per level."""
        return pd.DataFrame([
            {"sharing": x.name, "parameters": x.n_parameters, "sum_squares": x.sum_squares,
             "aicc": x.aicc, "bic": x.bic, "p_f": x.p_f, "p_bootstrap": x.p_bootstrap}
            for x in self.levels
        ])  # fmt: skip


def sharing_sentence(chosen: SharingFit, levels: Sequence[SharingFit]) -> str:
    if chosen.name == levels[0].name:
        return (
            "no difference between the groups' laws is established: one law for all fits no worse "
            f"than a law for each (p = {chosen.p_against_own:.2g})"
        )
    below = levels[[x.name for x in levels].index(chosen.name) - 1]
    freed = [name for name in chosen.own if name not in below.own]
    shared = [name for name in levels[-1].own if name not in chosen.own]
    worse = (
        f"with {_listed(freed)} shared as well, the fit is worse than a law for each "
        f"(p = {below.p_against_own:.2g})"
    )
    if chosen.p_against_own is None:
        return f"the groups' laws differ in {_listed(freed)} too: {worse}"
    return (
        f"the groups' laws differ in {_listed(chosen.own)} and may share {_listed(shared)} "
        f"(p = {chosen.p_against_own:.2g} against a law for each); {worse}"
    )


def _listed(names: Sequence[str]) -> str:
    *rest, last = names
    return f"{', '.join(rest)} and {last}" if rest else last
