"""Advice: what would change the verdict of a study, and what to run next, in plain sentences."""

from __future__ import annotations

import math
from collections.abc import Iterator

from analysis.arm import Arm
from analysis.comparison import Comparison
from analysis.difference import signed
from analysis.next_runs import NextRuns
from analysis.report.sentences import sentence
from analysis.study import Study
from analysis.style import count, flops, number

# More runs than this many times those that are there is no plan but a statement.
_HOPELESS = 50
_MAX_REASONS = 2


def changes(study: Study) -> list[str]:
    """What stands between the runs and a verdict, or what overturns the one that there is."""
    found = list(_lacking(study))
    if study.comparison:
        found += list(_precision(study.comparison))
    for checks, on in ((study.sensitivity, ""), (study.bits_sensitivity, "bits per byte, ")):
        if checks:
            found += [f"{on}{text}" for v, text in zip(checks.baseline, checks.sentences,
                                                       strict=True)
                      if not checks.stable[v.topic]]  # fmt: skip
    return [sentence(text) for text in found]


def _lacking(study: Study) -> Iterator[str]:
    """Per arm without a sound exponent: what each approach lacks."""
    for arm in study.arms.values():
        if arm.agreement.headline is not None:
            continue
        by_doubt: dict[str, list[str]] = {}
        for found in arm.agreement.approaches:
            doubt = found.doubts[0] if found.doubts else found.reason
            if doubt:
                by_doubt.setdefault(doubt, []).append(found.name)
        reasons = [f"{' and '.join(names)}: {doubt}" for doubt, names in by_doubt.items()]
        more = len(reasons) - _MAX_REASONS
        shown = "; ".join(reasons[:_MAX_REASONS])
        yield (
            f"a sound exponent for {arm.name} would: it has none today ({shown}"
            + (f"; {more} more under Checks)" if more > 0 else ")")
        )


def _precision(comparison: Comparison) -> Iterator[str]:
    """How much narrower an interval has to be before it leaves out "no difference"."""
    for verdict in comparison.verdicts:
        estimate = verdict.estimate
        box = estimate.interval if estimate else None
        if verdict.is_established or estimate is None or box is None or estimate.name == "m":
            continue
        side = box.high - estimate.value if estimate.value < 0 else estimate.value - box.low
        if not math.isfinite(side):
            yield f"{verdict.topic}: an interval with both ends would; today one side is unbounded"
            continue
        times = (side / max(abs(estimate.value), 1e-12)) ** 2
        need = (
            f"about {number(times, 2)} times as many runs, if the noise stays as it is and the "
            "error falls with their root"
            if times <= _HOPELESS
            else f"more than {_HOPELESS} times as many runs: at this noise a difference of "
            f"{number(abs(estimate.value), 2)} is out of reach"
        )
        yield (
            f"{verdict.topic}: the interval {signed(estimate)} holds 0; to leave it out at this "
            f"difference takes {need}"
        )


def next_steps(study: Study) -> list[str]:
    """The runs that would narrow the interval of a most, or why none can be named."""
    found = []
    for arm in study.arms.values():
        if arm.agreement.headline is None and (first := _first(arm)):
            found.append(f"{arm.name}, first: {first}")
        plan = arm.next_runs
        if plan is not None:
            found.append(_plan(arm, plan))
        elif "next_runs" in arm.missing:
            found.append(f"{arm.name}: no plan by the fitted law ({arm.missing['next_runs']})")
    return [sentence(text) for text in found]


def _first(arm: Arm) -> str:
    """What an arm without a sound exponent needs before any plan: minima inside the sizes."""
    if arm.isoflop is None:
        return f"budgets with a minimum ({arm.missing.get('isoflop', 'no profile')})"
    by_reason: dict[str, list[float]] = {}
    for budget in arm.isoflop.refused:
        by_reason.setdefault(budget.reason, []).append(budget.flops)
    needs = [
        f"{reason} ({', '.join(map(flops, budgets))} FLOPs)"
        for reason, budgets in by_reason.items()
    ]
    return "; ".join([*needs, *arm.isoflop_doubts[:1]])


def _plan(arm: Arm, plan: NextRuns) -> str:
    cells = ", ".join(
        f"{row.get('size', count(row['params']))} at {count(row['train_tokens'])} tokens"
        for _, row in plan.cells.iterrows()
    )
    text = (
        f"{arm.name}: {cells} ({flops(plan.spent_flops)} FLOPs) would bring the standard error of "
        f"a from {number(plan.standard_error_before, 2)} to "
        f"{number(plan.standard_error_after, 2)}, if the fitted law holds"
    )
    if arm.surface_doubts("a"):
        text += "; the law is in doubt for this arm, and so is the plan"
    return text
