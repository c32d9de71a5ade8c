"""Choices: what else could have been counted, minimised or kept, each as a changed table.

One choice is changed at a time and the rest is left as it was, so that a flip has one cause; two
changes are made together where people make them together: both counts, and all excluded runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.errors import AnalysisError
from analysis.fit import Objective
from analysis.table import Table
from analysis.values import Flag

CONVENTIONS: dict[str, Sequence[str]] = {
    "n": ("params_total", "params_non_embedding"),
    "c": ("train_flops", "train_flops_6nd"),
}
ESTIMATORS: tuple[Objective, ...] = ("huber", "l1", "ls")
# Runs that are put back one by one; all together they are put back whatever their number.
MAX_RESTORED = 40

CONVENTION, ESTIMATOR, EXCLUDED_RUN = "convention", "estimator", "excluded run"


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """One change: what it is, its kind, and the table and estimator to judge by."""

    change: str
    kind: str
    table: Table
    estimator: Objective


def other_choices(
    table: Table,
    *,
    conventions: Mapping[str, Sequence[str]],
    estimators: Sequence[Objective],
    max_restored: int,
) -> tuple[list[Choice], list[Flag]]:
    """Every choice that the table allows, and notes on those that it does not.

    Args:
        conventions: role -> columns that may play it; those that the table lacks are skipped.
        estimators: the first is the one in use.
        max_restored: excluded runs that are put back one at a time.
    """
    first, *others = estimators
    choices = list(_conventions(table, conventions, first))
    choices += [
        Choice(change=f"estimator {name}", kind=ESTIMATOR, table=table, estimator=name)
        for name in others
    ]
    restored, flags = _excluded_runs(table, first, max_restored)
    return choices + restored, flags


def _conventions(
    table: Table, conventions: Mapping[str, Sequence[str]], estimator: Objective
) -> Iterator[Choice]:
    """Each other count by itself, then those of all roles together."""
    roles: dict[str, str] = {}
    for role, columns in conventions.items():
        current = table.values(role)
        for column in columns:
            if column == table.columns[role] or column not in table.frame:
                continue
            # A convention that gives the same numbers is no other convention.
            other = table.values(column)
            if np.isfinite(other).all() and not np.allclose(other, current, rtol=1e-9):
                roles[role] = column
                yield _counted(table, {role: column}, estimator)
    if len(roles) > 1:
        yield _counted(table, roles, estimator)


def _counted(table: Table, roles: Mapping[str, str], estimator: Objective) -> Choice:
    change = " and ".join(f"{role.upper()} = {column}" for role, column in roles.items())
    return Choice(
        change=change, kind=CONVENTION, table=table.with_columns(**roles), estimator=estimator
    )


def _excluded_runs(
    table: Table, estimator: Objective, max_restored: int
) -> tuple[list[Choice], list[Flag]]:
    """Excluded runs that have all values, one at a time and all together."""
    restorable, lacking = [], 0
    for index in range(len(table.excluded)):
        if str(table.excluded["reason"].iloc[index]).startswith("duplicate"):
            continue
        try:
            table.restore(index)
        except AnalysisError:
            lacking += 1
            continue
        restorable.append(index)
    names = table.excluded["run_id"].astype(str)
    choices = [
        Choice(change=f"with run {names.iloc[index]}", kind=EXCLUDED_RUN,
               table=table.restore(index), estimator=estimator)
        for index in restorable[:max_restored]
    ]  # fmt: skip
    if len(restorable) > 1:
        whole = table
        # From the last one on, so that the others keep their places.
        for index in reversed(restorable):
            whole = whole.restore(index)
        choices.append(Choice(
            change=f"with all {len(restorable)} excluded runs", kind=EXCLUDED_RUN, table=whole,
            estimator=estimator,
        ))  # fmt: skip
    return choices, list(_notes(len(restorable), lacking, max_restored))


def _notes(n_restorable: int, n_lacking: int, max_restored: int) -> Iterator[Flag]:
    if n_restorable > max_restored:
        yield Flag(
            code="not_all_restored",
            severity="note",
            message=f"{n_restorable - max_restored} of {n_restorable} excluded runs were put back "
            "with all others only, not by themselves",
        )
    if n_lacking:
        yield Flag(
            code="not_restorable",
            severity="note",
            message=f"{n_lacking} excluded runs have no finite N, D and loss and cannot be put "
            "back; the table of cells that are in no fit gives their reasons",
        )
