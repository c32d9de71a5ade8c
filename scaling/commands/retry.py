"""`scaling retry`: makes cells that did not reach their end pending again."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import click

from scaling.commands.options import known_sweep, root_option

RETRIABLE = ("failed", "diverged", "out_of_memory", "timeout", "damaged")


@click.command(epilog="Example: scaling retry quickstart --only failed && scaling run quickstart")
@click.argument("sweep")
@root_option
@click.option(
    "--only", multiple=True, type=click.Choice(RETRIABLE), help="Only cells that ended so."
)
def retry(sweep: str, root: Path, only: tuple[str, ...]) -> None:
    """Make cells of SWEEP that did not reach their end pending again; never one that is done.

    Their records are kept beside the new ones, damaged ones under damaged/. A cell goes on from
    its checkpoint, unless it diverged or has failed from this very checkpoint before: then the
    checkpoint is kept aside and the cell starts anew.
    """
    from scaling.store import Store

    store = Store(root)
    name = known_sweep(store, sweep)
    run_ids = [cell["run_id"] for cell in store.sweep_cells(name) if cell["excluded"] is None]
    moved: Counter[str] = Counter()
    for run_id, state in store.states(run_ids).items():
        if state in (only or RETRIABLE) and store.retry(run_id) is not None:
            moved[state] += 1
    if not moved:
        print(f"{name}: no cell is {' or '.join(only or RETRIABLE)}")
        return
    counts = ", ".join(f"{number} {state}" for state, number in moved.items())
    print(f"{name}: pending again: {counts}; train them with: scaling run {sweep}")
