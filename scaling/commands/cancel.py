"""`scaling cancel`: stops cells of a sweep on whatever machine they run, and starts no others."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import click

from scaling.commands.options import known_sweep, one_run, root_option, run_again

_EXAMPLES = """\b
Examples:
  scaling cancel bert_vs_gpt
  scaling cancel bert_vs_gpt --cell 0123ab --cell 77fe --reason "too long a queue"
"""


@click.command(epilog=_EXAMPLES)
@click.argument("sweep")
@root_option
@click.option(
    "--cell", "cells", multiple=True, metavar="RUN_ID", help="Only this cell; a prefix will do."
)
@click.option("--reason", default="", help="Why, for whoever looks at the sweep.")
def cancel(sweep: str, root: Path, cells: tuple[str, ...], reason: str) -> None:
    """Stop the cells of SWEEP that have not ended, on every machine that works on them.

    A running cell writes its checkpoint and stops within seconds; a pending one is not started.
    What has ended stays. Other sweeps that share a cell lose it as well. `scaling run` lifts the
    marks and goes on from the checkpoints.
    """
    from scaling.cancel import mark, new_mark
    from scaling.claims import HEARTBEAT_SECONDS
    from scaling.store import ENDED, Store

    store = Store(root)
    name = known_sweep(store, sweep)
    run_ids = [cell["run_id"] for cell in store.sweep_cells(name) if cell["excluded"] is None]
    chosen = [one_run(given, run_ids) for given in cells] or run_ids
    wanted = new_mark(reason)
    found: Counter[str] = Counter()
    for run_id, state in store.states(chosen).items():
        if state not in ENDED:
            mark(store.folder(run_id), wanted)
        found[state] += 1
    told = [
        ("running", f"at its checkpoint within about {HEARTBEAT_SECONDS:.0f} s"),
        ("pending", "not to be started"),
        ("cancelled", "already"),
    ]
    cancelled = [f"{found[state]} {state} ({what})" for state, what in told if found[state]]
    ended = [f"{number} {state}" for state, number in found.items() if state in ENDED]
    print(f"{name}: cancelled: {', '.join(cancelled) or 'no cell, for all have ended'}")
    if ended:
        print(f"as they were: {', '.join(ended)}")
    if not cells:
        _leave_slurm(root, name)
    if cancelled:
        print(f"go on with: {run_again(store, name, sweep)}")


def _leave_slurm(root: Path, name: str) -> None:
    """Takes the sweep's workers out of the queue; the marks would hold without it."""
    from scaling.engines.slurm import cancel as take_out
    from scaling.errors import EngineError

    try:
        taken = take_out(root, name)
    except EngineError as error:
        print(f"its Slurm jobs end by themselves when their turn comes: {error}")
        return
    if taken:
        print(f"taken out of Slurm's queue: {', '.join(taken)}")
