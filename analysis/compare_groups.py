"""Comparison of groups of runs: exponents, shared parameters, compute at equal loss, verdicts.

Levels of loss are compared on one yardstick alone. Where the groups' losses are on several, such as
a masked and a causal cross-entropy, their floors differ and only exponents of the split of compute
are set side by side, each in its own yardstick.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from analysis.agreement import (
    LAWS_WITH_A,
    PROFILE_METHODS,
    AgreementResult,
    agreement,
    law_name,
)
from analysis.comparison import Comparison, Difference
from analysis.errors import AnalysisError
from analysis.fit import Objective
from analysis.headline import differences_of, headline_verdict
from analysis.isoflop_result import Method
from analysis.joint_result import JointResult
from analysis.multiplier import compute_multiplier
from analysis.multiplier_result import Multiplier, multiplier_verdict
from analysis.result import FitResult
from analysis.shared_fits import SharedFits
from analysis.table import Table
from analysis.values import Flag

__all__ = ["Comparison", "Difference", "compare"]


def compare(
    table: Table,
    by: str = "group",
    *,
    reference: str | None = None,
    laws: Sequence[str] = LAWS_WITH_A,
    methods: Sequence[Method] = PROFILE_METHODS,
    with_envelope: bool = True,
    with_joint: bool = True,
    objective: Objective = "huber",
    n_boot: int = 500,
    seed: int = 0,
    fits: SharedFits | None = None,
) -> Comparison:
    """Compares the groups in the column `by` with one of them.

    Args:
        table: runs of two or more groups.
        by: `group` for the table's own groups, or columns as in `Table.grouped_by`.
        reference: None takes the group that stands first.
        laws: laws in N and D in order of preference; the first is also fitted jointly.
        methods, with_envelope, with_joint: other approaches, and parts that may be left out.
        n_boot: draws behind the intervals, at least 100.
        fits: fits that are at hand already; new ones are added.
    Raises:
        AnalysisError: fewer than two groups, an unknown reference, or losses on several
            yardsticks inside one group.

    >>> import pandas as pd
    >>> from analysis import compare, load_table
    >>> from analysis.examples import planted_runs
    >>> plain, better = planted_runs(seed=1), planted_runs(seed=2, A=300, B=1500)
    >>> runs = pd.concat([plain.assign(arm="plain"), better.assign(arm="better")])
    >>> found = compare(load_table(runs), laws=("chinchilla",), with_joint=False, n_boot=100)
    >>> [verdict.claim or "not established" for verdict in found.verdicts]
    ['not established', 'better']
    """
    table = table.grouped_by(by)
    groups = table.groups
    reference = _checked_reference(groups, reference, table.by)
    yardsticks = _yardsticks(table)
    fits = fits or SharedFits()
    arms = {
        group: agreement(
            table.select(group=group), laws=laws, methods=methods, with_envelope=with_envelope,
            objective=objective, n_boot=n_boot, seed=seed, fits=fits,
        )
        for group in groups
    }  # fmt: skip
    others = [group for group in groups if group != reference]
    differences = [d for g in others for d in differences_of(arms, g, reference)]
    verdicts = [headline_verdict(differences, group, reference) for group in others]
    refusal, missing = _refusal(yardsticks), dict[str, str]()
    joint, multipliers = None, dict[str, Multiplier]()
    if not refusal and laws:
        if with_joint:
            joint = _attempt_joint(table, laws[0], missing, seed, fits)
        multipliers = dict(_multipliers(table, arms, others, reference, laws, missing))
    verdicts += [multiplier_verdict(m, approach=law_name(laws[0])) for m in multipliers.values()]
    return Comparison(
        by=table.by, groups=groups, reference=reference, yardsticks=yardsticks, refusal=refusal,
        arms=arms, differences=tuple(differences), joint=joint, multipliers=multipliers,
        missing=missing, verdicts=tuple(verdicts),
        n_runs={g: int((table.frame["group"] == g).sum()) for g in groups},
        excluded=table.excluded, columns=table.columns, labels=table.labels,
        flags=_flags(table, arms, differences, others, reference), seed=seed,
    )  # fmt: skip


def _checked_reference(groups: Sequence[str], reference: str | None, by: str) -> str:
    if not groups:
        raise AnalysisError(
            "the table names no groups, and a comparison needs two: name their column by --by"
        )
    if len(groups) < 2:
        raise AnalysisError(
            f"column {by!r} holds 1 group ({groups[0]}); a comparison needs two: name another "
            "column by --by"
        )
    if reference is not None and reference not in groups:
        raise AnalysisError(
            f"reference={reference!r} is no group; the table has {', '.join(map(str, groups))}"
        )
    return reference if reference is not None else groups[0]


def _yardsticks(table: Table) -> dict[str, str]:
    kinds: dict[str, str] = {}
    for group in table.groups:
        own = table.select(group=group).loss_kinds
        if len(own) > 1:
            raise AnalysisError(
                f"group {group} holds losses on {len(own)} yardsticks ({', '.join(own)}); "
                "no law runs through both: use bits_per_byte, or group by loss_kind"
            )
        kinds[group] = own[0]
    return kinds


def _refusal(yardsticks: dict[str, str]) -> str:
    if len(set(yardsticks.values())) == 1:
        return ""
    listed = ", ".join(f"{group}: {kind}" for group, kind in yardsticks.items())
    return (
        f"the losses are not on one yardstick ({listed}): their floors differ, so levels, slopes "
        "and compute at equal loss mean nothing across the groups; only the exponents of the "
        "split of compute are compared, each in its own yardstick; bits_per_byte has one"
    )


def _attempt_joint(
    table: Table, law: str, missing: dict[str, str], seed: int, fits: SharedFits
) -> JointResult | None:
    try:
        return fits.fit_jointly(table, law, seed=seed)
    except AnalysisError as error:
        missing["joint fit"] = str(error)
        return None


def _bounded(table: Table) -> tuple[str, ...]:
    """Groups whose losses are upper bounds."""
    if table.columns["loss"] != "bits_per_byte" or "bits_per_byte_kind" not in table.frame:
        return ()
    is_bound = table.frame["bits_per_byte_kind"] == "upper_bound"
    return tuple(str(group) for group in table.frame.loc[is_bound, "group"].unique())


def _multipliers(
    table: Table,
    arms: dict[str, AgreementResult],
    others: Sequence[str],
    reference: str,
    laws: Sequence[str],
    missing: dict[str, str],
) -> Iterator[tuple[str, Multiplier]]:
    """The compute multiplier of each group, from the first law's fits."""
    for group in others:
        fits, doubts = {}, {}
        for name in (group, reference):
            approach = arms[name].named(law_name(laws[0]))
            if approach is None or not isinstance(approach.result, FitResult):
                missing[f"multiplier of {group}"] = (
                    f"{name}: {approach.reason if approach else 'no law was fitted'}"
                )
                break
            fits[name] = approach.result
            if approach.doubts:
                doubts[name] = approach.doubts[0]
        if len(fits) < 2:
            continue
        sides = [(name, fits[name], table.select(group=name)) for name in (group, reference)]
        try:
            found = compute_multiplier(sides[0], sides[1])
        except AnalysisError as error:
            missing[f"multiplier of {group}"] = str(error)
            continue
        yield group, dataclasses.replace(found, bounded=_bounded(table), doubts=doubts)


def _flags(
    table: Table,
    arms: dict[str, AgreementResult],
    differences: Sequence[Difference],
    others: Sequence[str],
    reference: str,
) -> tuple[Flag, ...]:
    flags = [
        dataclasses.replace(flag, message=f"{group}: {flag.message}")
        for group, arm in arms.items()
        for flag in arm.flags
    ]
    values = [d.estimate.value for d in differences if d.estimate is not None]
    if values and len(others) == 1 and min(values) < 0 < max(values):
        flags.append(Flag(
            code="sign_differs", parameter="a",
            message=f"the sign of the difference depends on the approach: {min(values):+.3g} to "
            f"{max(values):+.3g}",
        ))  # fmt: skip
    if len(others) > 1:
        flags.append(Flag(
            code="several_comparisons", severity="note",
            message=f"{len(others)} comparisons with {reference} stand side by side; each "
            "interval holds its level by itself, not all of them together",
        ))  # fmt: skip
    kinds = table.frame.get("bits_per_byte_kind")
    if table.columns["loss"] == "bits_per_byte" and kinds is not None and kinds.nunique() > 1:
        flags.append(Flag(
            code="bounds_against_exact",
            message="some groups' bits per byte are upper bounds, others are exact: a group that "
            "is behind by its bound may be less behind in truth",
        ))  # fmt: skip
    ranges = {g: np.log10(table.select(group=g).values("c")) for g in table.groups}
    low, high = max(r.min() for r in ranges.values()), min(r.max() for r in ranges.values())
    widest = max(r.max() for r in ranges.values()) - min(r.min() for r in ranges.values())
    if high - low < widest / 2:
        flags.append(Flag(
            code="ranges_differ",
            message=f"the groups share {max(high - low, 0):.1f} of {widest:.1f} decades of "
            "compute; exponents over different ranges may differ without a difference in scaling",
        ))  # fmt: skip
    return tuple(flags)
