"""The exponent of N* over C from every approach side by side, and where they disagree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations

import pandas as pd

from analysis.curve_frontier import frontier
from analysis.difference import difference, excludes, signed
from analysis.errors import AnalysisError
from analysis.fit import Objective
from analysis.frontier_result import FrontierResult
from analysis.isoflop_profiles import isoflop
from analysis.isoflop_result import IsoflopResult, Method
from analysis.laws import FITTED
from analysis.result import FitResult
from analysis.shared_fits import SharedFits
from analysis.style import plain
from analysis.table import Table
from analysis.values import Estimate, Flag

# Laws whose a is fitted; in the others it is fixed by the form or does not exist.
LAWS_WITH_A = ("chinchilla", "kaplan")
PROFILE_METHODS: tuple[Method, ...] = ("parabola", "akima")
ENVELOPE = "lower envelope"
# Flags that keep an approach from carrying a verdict, by approach.
DOUBTS_OF_PROFILES = ("two_budgets", "noise_unknown")
DOUBTS_OF_ENVELOPE = ("schedule_unknown", "smoothing_decides", "few_sizes", "draws_stuck")

# With these an exponent of a law says more about the table than about scaling.
DISQUALIFYING = frozenset({
    "on_bound", "E_not_identified", "not_identified", "one_ray", "few_values", "loss_rises",
    "not_converged", "start_equals_end", "no_freedom", "ill_conditioned", "few_starts_agree",
})  # fmt: skip
# Each draw of the envelope looks at every curve again; its interval is that of a second opinion.
_ENVELOPE_DRAWS = 300
# An end this close to what an exponent between 0 and 1 can be stands on it.
_AT_END = 1e-6
# Point estimates farther apart than this make a the choice of who picks the approach.
_FAR_APART = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class ApproachResult:
    """What one approach says.

    Attributes:
        name: such as "Chinchilla law".
        a: exponent of N* over C; None where there is none, and `reason` says why.
        doubts: messages of the flags that disqualify it as a headline; it is listed all the same.
        result: the fit behind it.
    """

    name: str
    a: Estimate | None
    reason: str = ""
    doubts: tuple[str, ...] = ()
    result: FitResult | IsoflopResult | FrontierResult | None = None

    @property
    def is_sound(self) -> bool:
        return self.a is not None and self.a.interval is not None and not self.doubts


@dataclass(frozen=True, kw_only=True, slots=True)
class AgreementResult:
    """Every approach's a for one group; `headline` is the first sound one in their order."""

    approaches: tuple[ApproachResult, ...]
    labels: dict[str, str]
    yardstick: str
    flags: tuple[Flag, ...] = field(default_factory=tuple)

    @property
    def headline(self) -> ApproachResult | None:
        return next((x for x in self.approaches if x.is_sound), None)

    def named(self, name: str) -> ApproachResult | None:
        return next((x for x in self.approaches if x.name == name), None)

    def frame(self) -> pd.DataFrame:
        """One row per approach: a, its interval and how it was made, doubts, or why there is none.

        Columns: approach, a, low, high, level, interval_method, doubts, reason.
        """
        rows = []
        for x in self.approaches:
            interval = x.a.interval if x.a else None
            rows.append({
                "approach": x.name, "a": x.a.value if x.a else None,
                "low": interval.low if interval else None,
                "high": interval.high if interval else None,
                "level": interval.level if interval else None,
                "interval_method": interval.method if interval else "",
                "doubts": "; ".join(x.doubts), "reason": x.reason,
            })  # fmt: skip
        return pd.DataFrame(rows)


def agreement(
    table: Table,
    *,
    laws: Sequence[str] = LAWS_WITH_A,
    methods: Sequence[Method] = PROFILE_METHODS,
    with_envelope: bool = True,
    noise_nats: float | None = None,
    objective: Objective = "huber",
    smoothing: int | None = None,
    n_boot: int = 500,
    seed: int = 0,
    fits: SharedFits | None = None,
) -> AgreementResult:
    """Fits every approach to one group.

    Args:
        table: runs of one group on one yardstick.
        laws: laws in N and D, in order of preference; methods: of the isoFLOP profiles.
        noise_nats: see `analysis.isoflop_profiles.isoflop`.
        smoothing: readings that a training curve is averaged over for the envelope; None suits it
            to their number (`analysis.envelope.smoothing_of`), and ends of runs are never averaged.
        n_boot: draws behind each approach's intervals, at least 100.
        fits: fits that are at hand already; new ones are added.
    """
    fits = fits or SharedFits()

    def of_law(law: str) -> ApproachResult:
        return _of_law(fits.fit_law(table, law, objective=objective, n_boot=n_boot, seed=seed))

    def of_profiles(method: Method) -> ApproachResult:
        return _of_profiles(
            isoflop(table, method=method, noise_nats=noise_nats, n_boot=n_boot, seed=seed)
        )

    def of_envelope() -> ApproachResult:
        return _of_envelope(
            frontier(table, smoothing=smoothing, n_boot=min(n_boot, _ENVELOPE_DRAWS), seed=seed)
        )

    makers: dict[str, Callable[[], ApproachResult]] = {
        **{law_name(law): partial(of_law, law) for law in laws},
        **{profile_name(method): partial(of_profiles, method) for method in methods},
    }
    if with_envelope:
        makers[ENVELOPE] = of_envelope
    found = tuple(_attempt(name, make) for name, make in makers.items())
    return AgreementResult(
        approaches=found, labels=table.labels, yardstick=table.yardstick, flags=disagreements(found)
    )


def law_name(law: str) -> str:
    """`Chinchilla law`; what stands after a comma in a title goes in brackets."""
    name, _, form = (FITTED[law].title if law in FITTED else law).partition(", ")
    return f"{name} law ({form})" if form else f"{name} law"


def profile_name(method: str) -> str:
    return f"isoFLOP profiles ({method})"


def _attempt(name: str, make: Callable[[], ApproachResult]) -> ApproachResult:
    """One approach that cannot work must not take the others with it."""
    try:
        return make()
    except AnalysisError as error:
        return ApproachResult(name=name, a=None, reason=str(error))


def _of_law(fit: FitResult) -> ApproachResult:
    doubts = tuple(f.message for f in fit.flags if f.code in DISQUALIFYING)
    if fit.status == "failed" and not doubts:
        doubts = ("the fit failed",)
    a = fit.derived["a"]
    if a.interval is not None:
        doubts = (*doubts, *interval_doubts(a))
    return ApproachResult(name=law_name(fit.law), a=a, doubts=doubts, result=fit)


def _of_profiles(result: IsoflopResult) -> ApproachResult:
    a = result.exponents["a"]
    doubts = tuple(f.message for f in result.flags if f.code in DOUBTS_OF_PROFILES)
    return ApproachResult(
        name=profile_name(result.method), a=a, doubts=(*doubts, *interval_doubts(a)), result=result
    )


def _of_envelope(result: FrontierResult) -> ApproachResult:
    a = result.exponents["a"]
    doubts = tuple(f.message for f in result.flags if f.code in DOUBTS_OF_ENVELOPE)
    return ApproachResult(name=ENVELOPE, a=a, doubts=(*doubts, *interval_doubts(a)), result=result)


def interval_doubts(a: Estimate) -> tuple[str, ...]:
    """What is wrong with the interval of an exponent between 0 and 1."""
    box = a.interval
    if box is None:
        return ("it has no interval",)
    if not box.width > _AT_END:
        return (f"its interval is empty: every draw gives {box.low:.3g}",)
    if box.low <= _AT_END and box.high >= 1 - _AT_END:
        return (
            f"its interval, {plain(box.low, 2)} to {plain(box.high, 2)}, holds every value that "
            "an exponent of N* can have",
        )
    for end, limit in ((box.low, 0.0), (box.high, 1.0)):
        if abs(end - limit) <= _AT_END:
            return (f"its interval ends on {limit:g}, where the draws or the search stop",)
    return ()


def disagreements(found: Sequence[ApproachResult]) -> tuple[Flag, ...]:
    """Warnings for pairs of approaches whose a differ by more than their intervals allow."""
    flags = []
    with_a = [(x.name, x.a) for x in found if x.a is not None]
    for (name, a), (other_name, other) in combinations(with_a, 2):
        gap = difference(a, other, name="a")
        if excludes(gap):
            flags.append(Flag(
                code="approaches_disagree", parameter="a",
                message=f"a differs between approaches by {signed(gap)}: {a.value:.3f} by "
                f"{name}, {other.value:.3f} by {other_name}",
            ))  # fmt: skip
    values = sorted(a.value for _, a in with_a)
    if values and values[-1] - values[0] > _FAR_APART:
        flags.append(Flag(
            code="approaches_spread", parameter="a",
            message=f"a runs from {values[0]:.3f} to {values[-1]:.3f} over {len(values)} "
            "approaches: quote it with the approach",
        ))  # fmt: skip
    return tuple(flags)
