"""How a launch ended: which cells have no result, why, and what to do about it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scaling.store import Store
    from scaling.sweep import Sweep


def with_added_evaluations(store: Store, sweep: Sweep) -> Sweep:
    """The sweep with what `scaling evaluate` has added to it in this store."""
    from scaling.errors import StoreError
    from scaling.sealed import SchemaError
    from scaling.sweep_evaluations import listed_evaluations

    try:
        listing = store.sweep_cells(sweep.name)
    except (StoreError, SchemaError):
        return sweep
    runs = {cell.run_id: cell.spec for cell in sweep.cells}
    own = {cell.run_id for cell in sweep.evaluations}
    added = [
        cell for cell in listed_evaluations(listing, runs) if cell.added and cell.run_id not in own
    ]
    return dataclasses.replace(sweep, evaluations=(*sweep.evaluations, *added))


def report_failures(store: Store, sweep: Sweep, *, again: str) -> int:
    """Says which cells have no result and why; returns the exit code.

    Args:
        again: the command that launches the sweep anew.
    """
    from scaling.store import SETTLED
    from scaling.sweep_evaluations import EvaluationCell
    from scaling.words import describe

    states = store.states(cell.run_id for cell in sweep.all_cells)
    done = sum(state == "done" for state in states.values())
    print(f"{sweep.name}: {done} of {len(states)} cells are done, in {store.cells}")
    unmet = SETTLED - {"done"}
    left = [cell for cell in sweep.all_cells if states[cell.run_id] not in SETTLED]
    blocked = [c for c in left if isinstance(c, EvaluationCell) and states[c.depends_on] in unmet]
    if len(left) > len(blocked):
        number = len(left) - len(blocked)
        print(f"{number} cells are to do or in work; see them with: scaling status {sweep.name}")
    if blocked:
        print(f"{len(blocked)} evaluations wait for runs that have no result")
    failed = [cell for cell in sweep.all_cells if states[cell.run_id] in unmet]
    for cell in failed:
        reason = store.reason(cell.run_id) or "it has no record"
        print(f"  {states[cell.run_id]}: {describe(cell.labels)} ({cell.run_id}): {reason}")
    if failed and all(states[cell.run_id] == "cancelled" for cell in failed):
        print(f"go on with the cancelled cells: {again}")
    elif failed:
        print(f"try them again with: scaling retry {sweep.name} && {again}")
    return 1 if failed else 0
