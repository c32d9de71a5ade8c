"""`scaling store`: looks after the folder of runs, and writes it out as one table."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from scaling.commands.options import json_option, root_option


@click.group(epilog="Example: scaling store check --mend && scaling store export runs.csv")
def store() -> None:
    """Look after the store of runs: find and mend damage, write a table of all cells."""


@store.command(
    epilog="Example: scaling store check --root runs --mend",
    short_help="Find damage; mend it with --mend.",
)
@root_option
@click.option("--mend", is_flag=True, help="Move what is damaged to damaged/, free dead cells.")
@json_option
def check(root: Path, mend: bool, as_json: bool) -> None:
    """Look through the store for damage; exit code 1 says that there is some left.

    Every record is held against its checksum, every checkpoint against its own. Nothing of value
    is deleted: with --mend, what is damaged is moved to damaged/ and the cell is pending again.
    """
    from scaling.logs import harmless
    from scaling.store import Store
    from scaling.upkeep import look_through

    opened = Store(root)
    findings = look_through(opened, mend=mend)
    left = sum(finding.is_damage and not finding.mended for finding in findings)
    mended = sum(finding.mended for finding in findings)
    n_cells = len(opened.run_ids())
    if as_json:
        shown = [finding.to_dict() for finding in findings]
        print(json.dumps({"cells": n_cells, "damaged": left, "findings": shown}, indent=1))
    else:
        for finding in findings:
            print(harmless(finding.line()))
        print(f"{root}: {n_cells} cells, {left} damages left, {mended} mended")
    sys.exit(1 if left else 0)


@store.command(
    epilog="Example: scaling store export runs.csv --sweep bert_vs_gpt",
    short_help="Write one row per run to a .csv or .parquet.",
)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@root_option
@click.option("--sweep", help="Only the cells of this sweep.  [default: all cells]")
def export(file: Path, root: Path, sweep: str | None) -> None:
    """Write one row per run to FILE, a .csv or a .parquet, the unfinished ones too.

    The columns carry their units. `scaling fit` reads the CSV like any other, to the fit of the
    sweep itself.
    """
    from scaling.cell_table import cell_table, write_table
    from scaling.commands.options import known_sweep
    from scaling.store import Store

    opened = Store(root)
    table = cell_table(opened, known_sweep(opened, sweep) if sweep else None)
    write_table(table, file)
    done = int((table["state"] == "done").sum())
    print(f"{file}: {len(table)} cells, {done} of them done")
