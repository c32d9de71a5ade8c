"""`scaling status`: the state of every cell."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scaling.commands.options import json_option, known_sweep, root_option

if TYPE_CHECKING:
    from scaling.store import Store


@click.command(epilog="Example: scaling status quickstart --json")
@click.argument("sweep", required=False)
@root_option
@json_option
def status(sweep: str | None, root: Path, as_json: bool) -> None:
    """Show the state of every cell of SWEEP, or how far each sweep of the store is."""
    from scaling.store import Store

    store = Store(root)
    found = _sweep(store, known_sweep(store, sweep)) if sweep else _overview(store)
    if as_json:
        print(json.dumps(found, indent=1))
    elif sweep:
        _print_sweep(found)
    else:
        _print_overview(found, root)


def _overview(store: Store) -> dict[str, Any]:
    states = store.states(store.run_ids())
    sweeps = {}
    for name in store.sweeps():
        cells = [cell for cell in store.sweep_cells(name) if cell["excluded"] is None]
        sweeps[name] = dict(Counter(states.get(cell["run_id"], "pending") for cell in cells))
    return {"sweeps": sweeps, "cells": dict(Counter(states.values())), "refused": store.refused()}


def _sweep(store: Store, name: str) -> dict[str, Any]:
    cells = store.sweep_cells(name)
    states = store.states(cell["run_id"] for cell in cells if cell["excluded"] is None)
    rows = []
    for cell in cells:
        state = "excluded" if cell["excluded"] else states[cell["run_id"]]
        reason = cell["excluded"]
        if state not in ("excluded", "done", "running", "pending"):
            reason = store.reason(cell["run_id"])
        rows.append(
            {key: cell[key] for key in ("run_id", "labels")} | {"state": state, "reason": reason}
        )
    return {
        "sweep": name,
        "counts": dict(Counter(row["state"] for row in rows)),
        "cells": rows,
        "refused": [n for n in store.refused() if n.partition(".")[0] in states],
    }


def _print_overview(found: dict[str, Any], root: Path) -> None:
    if not found["sweeps"]:
        print(f"{root} holds no sweep; `scaling run quickstart` makes one")
    for name, counts in found["sweeps"].items():
        print(f"{name}: {_counts(counts)}")
    _print_refused(found)


def _print_sweep(found: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    from scaling.words import describe

    table = Table(box=None, header_style="bold")
    for column in ("run", "cell", "state", "why"):
        table.add_column(column, overflow="fold")
    for row in found["cells"]:
        run_id = row["run_id"] or "-"
        table.add_row(run_id, describe(row["labels"]), row["state"], row["reason"] or "")
    Console().print(table)
    print(f"{found['sweep']}: {_counts(found['counts'])}")
    _print_refused(found)


def _print_refused(found: dict[str, Any]) -> None:
    for name in found["refused"]:
        print(f"a second attempt at a cell was refused: refused/{name}")


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{number} {state}" for state, number in sorted(counts.items()))
