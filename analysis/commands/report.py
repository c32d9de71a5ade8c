"""`scaling report`: a study as one HTML file, its exponents on the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from analysis.commands.plot import default_folder
from analysis.commands.source import (
    Columns,
    boot_options,
    find_source,
    open_table,
    source_options,
)

if TYPE_CHECKING:
    from analysis.study import Study

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
    """
    from analysis.report.page import write_report
    from analysis.study import make_study

    path = find_source(source, root)
    table = open_table(path, columns)
    study = make_study(path, table, reference=reference, n_boot=n_boot, seed=seed)
    written = write_report(study, out or default_folder(path, "report"))
    print(_exponents(study))
    print(written)


def _exponents(study: Study) -> str:
    """The verdict, then the exponents with intervals, one line each."""
    from analysis.report.words import lead
    from analysis.style import loss_label, printed

    lines = [*lead(study), ""]
    for arm in study.arms.values():
        lines.append(f"{arm.name} ({len(arm.table.frame)} runs; {loss_label(arm.table.yardstick)})")
        found = []
        if arm.isoflop:
            found.append(("a, isoFLOP", arm.isoflop.exponents["a"]))
        if arm.fit:
            found += [(name, arm.fit.estimates.get(name) or arm.fit.derived[name])
                      for name in ("alpha", "beta", "a")]  # fmt: skip
        for name, estimate in found:
            lines.append(f"  {name:<11} {printed(estimate)}")
        status = f"{arm.fit.law} fit: {arm.fit.status}" if arm.fit else arm.missing["fit"]
        lines.append(f"  {status}")
    return "\n".join(lines)
