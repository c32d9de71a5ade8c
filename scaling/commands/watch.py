"""`scaling watch`: a sweep on one screen of the terminal, renewed until all of it has ended."""

from __future__ import annotations

from pathlib import Path

import click

from scaling.commands.options import one_sweep, root_option

_EXAMPLES = """\b
Examples:
  scaling watch quickstart
  scaling watch bert_vs_gpt --interval 10
  scaling watch --root /mnt/team/runs bert_vs_gpt
"""


@click.command(epilog=_EXAMPLES)
@click.argument("sweep", required=False)
@root_option
@click.option(
    "--interval",
    type=click.FloatRange(min=0.1),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="How often it looks.",
)
def watch(sweep: str | None, root: Path, interval: float) -> None:
    """Watch SWEEP: what runs with its progress, loss and time left, what ended, what failed.

    The fuller view of `scaling status --watch`; it reads the store alone, so it shows cells on all
    machines. Without SWEEP: the only sweep of the store. Ctrl-C leaves, and the sweep goes on.
    """
    from rich.console import Console

    from scaling import status_view
    from scaling.store import Store
    from scaling.sweep_status import StatusReader
    from scaling.watch_view import WatchView

    store = Store(root)
    reader = StatusReader(store, one_sweep(store, sweep))
    view = WatchView()
    status_view.watch(reader.read, Console(), interval_seconds=interval, draw=view.draw)
