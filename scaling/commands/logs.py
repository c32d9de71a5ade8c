"""`scaling logs`: what a cell wrote, how it failed, and who worked on it."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scaling.commands.options import one_run, root_option

if TYPE_CHECKING:
    from scaling.store import Store

_EXAMPLES = """\b
Examples:
  scaling logs 0123abcd
  scaling logs 0123abcd --tail 20 --follow
  scaling logs 0123abcd --traceback
"""


@click.command(epilog=_EXAMPLES)
@click.argument("run_id")
@root_option
@click.option("--follow", "-f", is_flag=True, help="Show what is added, until the cell has ended.")
@click.option("--tail", type=click.IntRange(min=0), metavar="N", help="Only the last N lines.")
@click.option("--traceback", is_flag=True, help="Only where the last failure was raised.")
def logs(run_id: str, root: Path, follow: bool, tail: int | None, traceback: bool) -> None:
    """Show the attempts at the cell RUN_ID, its log and its traceback.

    A prefix of the run id will do. The log goes to standard output, what is said about it to
    standard error. Control characters are spelled out. Ctrl-C leaves; the cell trains on.
    """
    from scaling.logs import LOG, TRACEBACK, read_blocks
    from scaling.store import SETTLED, Store

    store = Store(root)
    folder = store.folder(one_run(run_id, store.run_ids()))
    if traceback:
        if not (folder / TRACEBACK).exists():
            _say(f"{folder.name}: no attempt has raised an error; the log may say more")
        _print(read_blocks(folder / TRACEBACK, tail=tail))
        return
    _say_attempts(store, folder)
    try:
        if follow:
            from scaling.logs import follow as followed

            def is_over() -> bool:
                return store.state(folder.name) in SETTLED

            _print(followed(folder / LOG, is_over=is_over, tail=tail))
        else:
            _print(read_blocks(folder / LOG, tail=tail))
    except KeyboardInterrupt:
        return
    if not (folder / LOG).exists():
        _say(f"it has no {LOG} yet")
    if (folder / TRACEBACK).exists():
        _say(f"\n{folder / TRACEBACK}:")
        _print(read_blocks(folder / TRACEBACK))


def _say_attempts(store: Store, folder: Path) -> None:
    from scaling.history import attempts
    from scaling.sweep_status import reason_of

    state = store.state(folder.name)
    reason = reason_of(store, folder.name, state)
    _say(f"{folder.name} is {state}{f': {reason}' if reason else ''}")
    for attempt in attempts(folder):
        where = f"{attempt.machine or 'unknown machine'}, process {attempt.pid or 'unknown'}"
        began = f"from {attempt.started} " if attempt.started else ""
        reason = f": {attempt.reason}" if attempt.reason else ""
        _say(f"attempt {attempt.number} on {where}, {began}to {attempt.last_seen}, "
             f"{attempt.end}{reason}")  # fmt: skip


def _say(line: str) -> None:
    from scaling.logs import harmless

    sys.stdout.flush()
    print(harmless(line), file=sys.stderr, flush=True)


def _print(blocks: Iterable[str]) -> None:
    for block in blocks:
        sys.stdout.write(block)
        sys.stdout.flush()
