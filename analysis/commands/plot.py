"""`scaling plot`: figures as SVG and PNG, each with its data as CSV."""

from __future__ import annotations

from pathlib import Path

import click

from analysis.commands.say import say
from analysis.commands.source import (
    Columns,
    boot_options,
    find_source,
    open_table,
    source_options,
)

FIGURES = ("isoflop", "optimal", "exponents", "bits-per-byte", "multiplier", "loss-over-flops",
           "curves", "residuals", "learning-rate")  # fmt: skip

EPILOG = """\b
Examples:
  scaling plot runs/quickstart
  scaling plot quickstart --figure isoflop --figure curves --out figures/
  scaling plot table.csv --by experiment
"""


@click.command(epilog=EPILOG)
@source_options
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the files.  [default: SOURCE/figures, for a CSV ./NAME-figures]",
)
@click.option(
    "--figure",
    "figures",
    type=click.Choice(FIGURES),
    multiple=True,
    help="Only this one; may be given several times.  [default: all]",
)
@boot_options
def plot(
    source: str,
    root: Path,
    columns: Columns,
    out: Path | None,
    figures: tuple[str, ...],
    n_boot: int,
    seed: int,
) -> None:
    """Draw the runs of SOURCE and what was fitted to them.

    A masked and a causal loss never share an axis: such figures have one panel per arm.
    """
    from analysis.plots.canvas import render, save_figure
    from analysis.plots.figures import FIGURES as MAKERS
    from analysis.study import make_study

    path = find_source(source, root)
    table = open_table(path, columns)
    study = make_study(path, table, n_boot=n_boot, seed=seed, with_checks=False)
    folder = out or default_folder(path, "figures")
    for name in figures or FIGURES:
        drawing = MAKERS[name](study)
        if drawing is None:
            say(f"{name}: not drawn, the table does not hold what it needs")
            continue
        figure, data = render(drawing.panels)
        say(*save_figure(figure, data, folder, name))
    for arm in study.arms.values():
        for part, reason in arm.missing.items():
            say(f"{arm.name}: no {part}: {reason}")


def default_folder(path: Path, kind: str) -> Path:
    """Inside the folder of a sweep; for a CSV in the working directory, under its name."""
    return path / kind if path.is_dir() else Path(f"{path.name.split('.')[0]}-{kind}")
