"""`scaling retry`: makes cells that did not reach their end pending again."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scaling.commands.options import known_sweep, root_option, run_again

if TYPE_CHECKING:
    from scaling.store import Store

RETRIABLE = ("failed", "diverged", "out_of_memory", "timeout", "damaged", "cancelled")
_ALIASES = {"oom": "out_of_memory"}

_EXAMPLES = """\b
Examples:
  scaling retry quickstart --only oom && scaling run quickstart
  scaling retry bert_vs_gpt --only timeout --only cancelled
"""


@click.command(epilog=_EXAMPLES)
@click.argument("sweep")
@root_option
@click.option(
    "--only",
    multiple=True,
    type=click.Choice([*RETRIABLE, *_ALIASES]),
    help="Only cells that ended so; oom is short for out_of_memory.",
)
def retry(sweep: str, root: Path, only: tuple[str, ...]) -> None:
    """Make cells of SWEEP that did not reach their end pending again; never one that is done.

    Their records are kept beside the new ones, damaged ones under damaged/. A cell goes on from
    its checkpoint, unless it diverged or has failed from this very checkpoint before: then the
    checkpoint is kept aside and the cell starts anew. One that ran out of memory takes half as
    many sequences at a time from now on, which leaves its batch and its result as they are.
    """
    from scaling.cancel import lift
    from scaling.evaluation_cell import is_evaluation
    from scaling.split import write_micro_batch
    from scaling.store import Store

    store = Store(root)
    name = known_sweep(store, sweep)
    cells = {cell["run_id"]: cell for cell in store.sweep_cells(name) if not cell["excluded"]}
    wanted = [_ALIASES.get(status, status) for status in only] or RETRIABLE
    moved: Counter[str] = Counter()
    stuck = 0
    for run_id, state in store.states(cells).items():
        if state not in wanted:
            continue
        if state == "out_of_memory" and not is_evaluation(cells[run_id]["spec"]):
            micro_batch = _halved(store, run_id, cells[run_id]["labels"])
            if micro_batch is None:
                stuck += 1
                continue
            write_micro_batch(store.folder(run_id), micro_batch)
        # A cell that was cancelled as it ended has a mark and a record.
        lifted = lift(store.folder(run_id))
        if store.retry(run_id) is not None or (lifted and state == "cancelled"):
            moved[state] += 1
    if moved:
        counts = ", ".join(f"{number} {state}" for state, number in moved.items())
        print(f"{name}: pending again: {counts}; train them with: {run_again(store, name, sweep)}")
    elif not stuck:
        print(f"{name}: no cell is {' or '.join(wanted)}")
    sys.exit(1 if stuck else 0)


def _halved(store: Store, run_id: str, labels: dict[str, Any]) -> int | None:
    """The micro-batch of the next attempt; None, and it is said, where there is none smaller."""
    from scaling.split import smaller_micro_batch
    from scaling.words import describe

    record = store.run_record(run_id)
    if record is None:
        return None  # another command has made it pending already
    cell = f"{describe(labels)} ({run_id})"
    micro_batch = smaller_micro_batch(record)
    if micro_batch is None:
        print(
            f"{cell}: ran out of memory with one sequence at a time, and no smaller micro-batch "
            "exists; use fewer --workers, more --devices with --strategy fsdp, or a smaller model"
        )
        return None
    print(f"{cell}: {micro_batch} sequences at a time from now on, the batch stays as it is")
    return micro_batch
