"""`scaling doctor`: what this machine has and lacks, one line each."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scaling.commands.options import json_option, root_option

if TYPE_CHECKING:
    from scaling.checks import Check

_STYLES = {"ok": "green", "optional": "dim", "warning": "yellow", "failed": "bold red"}


@click.command(epilog="Example: scaling doctor --root /shared/runs")
@root_option
@json_option
def doctor(root: Path, as_json: bool) -> None:
    """Check this machine: versions, devices, the store, W&B, text to train on.

    Exit code 0: it can be used; what is optional or a warning says what else to do. Exit code 1:
    something failed that every run needs. Nothing is left behind.
    """
    from scaling.checks import run_checks

    answers = run_checks(root)
    usable = all(answer.verdict != "failed" for answer in answers)
    if as_json:
        checks = [dataclasses.asdict(answer) for answer in answers]
        print(json.dumps({"usable": usable, "checks": checks}, indent=1))
    else:
        _print_table(answers)
    sys.exit(0 if usable else 1)


def _print_table(answers: list[Check]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold")
    for column in ("", "check", "found", "what to do"):
        table.add_column(column, overflow="fold")
    for answer in answers:
        verdict = Text(answer.verdict, style=_STYLES[answer.verdict])
        # As plain text: brackets in a message are no markup.
        cells = [Text(cell) for cell in (answer.name, answer.found, answer.remedy or "")]
        table.add_row(verdict, *cells)
    Console().print(table)
