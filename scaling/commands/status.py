"""`scaling status`: the state of every cell, once or until all have ended."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scaling.commands.options import json_option, known_sweep, root_option

if TYPE_CHECKING:
    from scaling.store import Store
    from scaling.sweep_status import SweepStatus

_EXAMPLES = """\b
Examples:
  scaling status
  scaling status quickstart --json
  scaling status bert_vs_gpt --watch --interval 10
"""


@click.command(epilog=_EXAMPLES)
@click.argument("sweep", required=False)
@root_option
@click.option("--watch", is_flag=True, help="Show it again and again, until all have ended.")
@click.option(
    "--interval",
    type=click.FloatRange(min=0.1),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="How often --watch looks.",
)
@json_option
def status(sweep: str | None, root: Path, watch: bool, interval: float, as_json: bool) -> None:
    """Show the state of every cell of SWEEP, or how far each sweep of the store is.

    It reads the store alone, so it shows cells that other machines train. Running cells report
    every few seconds. With --watch, Ctrl-C leaves and the sweep goes on; with --json as well, each
    look is one line.
    """
    from scaling.store import Store

    store = Store(root)
    if sweep is not None:
        _show(store, known_sweep(store, sweep), watch=watch, interval=interval, as_json=as_json)
        return
    if watch:
        known = ", ".join(store.sweeps()) or "none yet"
        raise click.UsageError(f"--watch needs a SWEEP; known: {known}")
    found = _overview(store)
    if as_json:
        print(json.dumps(found, indent=1))
    else:
        _print_overview(found, root)


def _show(store: Store, name: str, *, watch: bool, interval: float, as_json: bool) -> None:
    from scaling.sweep_status import StatusReader

    reader = StatusReader(store, name)
    if as_json and watch:
        _watch_json(reader.read, interval)
        return
    if as_json:
        print(json.dumps(reader.read().to_dict(), indent=1))
        return
    from rich.console import Console

    from scaling import status_view

    if watch:
        status_view.watch(reader.read, Console(), interval_seconds=interval)
        return
    found = reader.read()
    status_view.print_table(found, Console())
    _print_refused(found.refused)


def _watch_json(read: Callable[[], SweepStatus], interval: float) -> None:
    import time

    try:
        while True:
            found = read()
            print(json.dumps(found.to_dict()), flush=True)
            if found.is_over:
                return
            time.sleep(interval)
    except KeyboardInterrupt:
        return


def _overview(store: Store) -> dict[str, Any]:
    states = store.states(store.run_ids())
    sweeps = {}
    for name in store.sweeps():
        cells = [cell for cell in store.sweep_cells(name) if cell["excluded"] is None]
        sweeps[name] = dict(Counter(states.get(cell["run_id"], "pending") for cell in cells))
    return {"sweeps": sweeps, "cells": dict(Counter(states.values())), "refused": store.refused()}


def _print_overview(found: dict[str, Any], root: Path) -> None:
    from scaling.logs import harmless

    if not found["sweeps"]:
        print(f"{root} holds no sweep; `scaling run quickstart` makes one")
    for name, counts in found["sweeps"].items():
        listed = ", ".join(f"{number} {state}" for state, number in sorted(counts.items()))
        print(harmless(f"{name}: {listed}"))
    _print_refused(found["refused"])


def _print_refused(names: Iterable[str]) -> None:
    from scaling.logs import harmless

    for name in names:
        print(harmless(f"a second attempt at a cell was refused: refused/{name}"))
