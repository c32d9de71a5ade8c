"""`scaling report`: a study as one HTML file, its exponents on the terminal."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from analysis.commands.plot import default_folder
from analysis.commands.say import say
from analysis.commands.source import (
    Columns,
    boot_options,
    find_source,
    open_table,
    source_options,
)

if TYPE_CHECKING:
    from analysis.arm import Arm
    from analysis.study import Study
    from analysis.table import Table

# Beside the page: what it was made of and what it printed, so that the same is not made twice.
_NOTE = "report.json"
_CODE = ("*.py", "*.j2", "*.css", "*.js")

EPILOG = """\b
Examples:
  scaling report runs/quickstart
  scaling report quickstart --out reports/quickstart
  scaling report table.csv --by experiment --n params_total
"""


@click.command(epilog=EPILOG)
@source_options
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of report.html.  [default: SOURCE/report, for a CSV ./NAME-report]",
)
@click.option("--reference", help="Arm that the others are compared with.  [default: the first]")
@boot_options
def report(
    source: str,
    root: Path,
    columns: Columns,
    out: Path | None,
    reference: str | None,
    n_boot: int,
    seed: int,
) -> None:
    """Write the study of SOURCE as one HTML file that needs no network.

    SOURCE is the folder of a sweep, a sweep's name, or a CSV. The last line is the file's path.
    A report that was made of the same runs and options is not made again.
    """
    path = find_source(source, root)
    table = open_table(path, columns)
    folder = out or default_folder(path, "report")
    forecast = path / "plan.json"
    planned = forecast.read_bytes() if forecast.is_file() else b""
    key = _key(table, (str(path), columns, reference, n_boot, seed, planned))
    lines = _still_true(folder, key)
    if lines is None:
        from analysis.report.page import write_report
        from analysis.study import make_study

        study = make_study(path, table, reference=reference, n_boot=n_boot, seed=seed)
        write_report(study, folder)
        lines = _exponents(study)
        note = {"key": key, "lines": lines}
        (folder / _NOTE).write_text(json.dumps(note, indent=1) + "\n", encoding="utf-8")
    say(lines)
    say(folder / "report.html")


def _key(table: Table, options: tuple[object, ...]) -> str:
    """A hash of all that a report depends on: the runs, the options and this package's code."""
    package = Path(__file__).parents[1]
    code = sorted(file for kind in _CODE for file in package.rglob(kind))
    parts = [table.frame.to_json(), table.excluded.to_json(), table.curve_points.to_json()]
    parts += [repr((options, table.notes, sorted(table.columns.items())))]
    parts += [f"{file} {file.stat().st_mtime_ns}" for file in code]
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()


def _still_true(folder: Path, key: str) -> str | None:
    """What the report in `folder` printed, if it was made of the very same."""
    if not (folder / "report.html").is_file():
        return None
    try:
        note = json.loads((folder / _NOTE).read_text(encoding="utf-8"))
        return str(note["lines"]) if note["key"] == key else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _exponents(study: Study) -> str:
    """The verdict, then the exponents with intervals, one line each."""
    from analysis.report.advice import changes, next_steps
    from analysis.report.words import lead
    from analysis.style import loss_label

    lines = lead(study)
    for title, found in (
        ("what would change the verdict", changes(study)),
        ("what to run next", next_steps(study)),
    ):
        lines += [f"{title}:", *(f"  {text}" for text in found)] if found else []
    lines.append("")
    for arm in study.arms.values():
        lines.append(f"{arm.name} ({len(arm.table.frame)} runs; {loss_label(arm.table.yardstick)})")
        lines += [f"  {name:<28} {text}" for name, text in _numbers(arm)]
        if arm.fit is None:
            lines.append(f"  loss surface not fitted: {arm.missing['fit']}")
    return "\n".join(lines)


def _numbers(arm: Arm) -> Iterator[tuple[str, str]]:
    """What each number is and where it comes from, and the number with its interval."""
    from analysis.style import DOUBTFUL, printed

    if arm.isoflop:
        doubt = f"  {DOUBTFUL}" if arm.isoflop_doubts else ""
        yield "a of N*, isoFLOP minima", printed(arm.isoflop.exponents["a"]) + doubt
    if arm.fit:
        for name, what in (
            ("a", "a of N*, loss surface"), ("alpha", "alpha of N, loss surface"),
            ("beta", "beta of D, loss surface"),
        ):  # fmt: skip
            doubt = f"  {DOUBTFUL}" if arm.surface_doubts(name) else ""
            yield what, printed(arm.fit.estimate(name)) + doubt
