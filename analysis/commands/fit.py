"""`scaling fit`: a law per group, with intervals, flags and how they were made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from analysis.commands.say import say
from analysis.commands.source import (
    Columns,
    find_source,
    groups_of,
    json_option,
    open_table,
    source_options,
)

_LEAST_SIZES = 3

if TYPE_CHECKING:
    from analysis.result import FitResult
    from analysis.table import Table

LAWS = ("chinchilla", "tied", "kaplan", "compute", "data_constrained", "broken_power")

EPILOG = """\b
Examples:
  scaling fit runs/quickstart
  scaling fit quickstart --n params_non_embedding --c train_flops_6nd
  scaling fit table.csv --n N --d D --loss loss --law tied --json
"""


@click.command(epilog=EPILOG)
@source_options
@click.option("--law", type=click.Choice(LAWS), default="chinchilla", show_default=True)
@click.option(
    "--objective", type=click.Choice(["huber", "l1", "ls"]), default="huber", show_default=True,
    help="What is summed over the residuals of log loss.",
)  # fmt: skip
@click.option(
    "--n-boot", type=click.IntRange(min=0), default=1000, show_default=True,
    help="Bootstrap draws behind the intervals; 0 leaves the intervals out.",
)  # fmt: skip
@click.option("--seed", default=0, show_default=True, help="Of the bootstrap.")
@json_option
def fit(
    source: str,
    root: Path,
    columns: Columns,
    law: str,
    objective: str,
    n_boot: int,
    seed: int,
    as_json: bool,
) -> None:
    """Fit a scaling law to the runs of SOURCE, each group by itself.

    SOURCE is the folder of a sweep, a sweep's name, or a CSV with columns for N, D and loss.
    """
    table = open_table(find_source(source, root), columns)
    found, reasons = fit_groups(table, law=law, objective=objective, n_boot=n_boot, seed=seed)
    if as_json:
        fits = {group: result.to_dict() for group, result in found.items()}
        found_all = {"fits": fits, "not_fitted": reasons, "notes": table.notes}
        print(json.dumps(found_all | {"in_no_group": _in_no_group(table)}, indent=1))
        return
    for group, result in found.items():
        say(f"== {group} ==\n{result.summary()}\n")
    for group, reason in reasons.items():
        say(f"== {group} ==\nnot fitted: {reason}\n")
    for run, reason in _in_no_group(table).items():
        say(f"excluded, in no group: {run}: {reason}")
    for note in table.notes:
        say(f"note: {note}")


def _in_no_group(table: Table) -> dict[str, str]:
    """Excluded runs that no group lists, because what groups them is not known: run -> reason."""
    rows = table.excluded
    if table.groups:
        rows = rows[~rows["group"].isin(table.groups)] if "group" in rows else rows
        return {str(r["run_id"]): str(r["reason"]) for r in rows.to_dict("records")}
    return {}


def fit_groups(
    table: Table, *, law: str = "chinchilla", objective: str = "huber", n_boot: int, seed: int
) -> tuple[dict[str, FitResult], dict[str, str]]:
    """Group -> fit, and group -> why there is none.

    Raises:
        AnalysisError: no group could be fitted.
    """
    from analysis import laws
    from analysis.errors import AnalysisError
    from analysis.fit import fit_law

    found: dict[str, FitResult] = {}
    reasons: dict[str, str] = {}
    for group, part in groups_of(table).items():
        try:
            if "n" in laws.LAWS[law].axes:
                _check_sizes(part)
            found[group] = fit_law(
                part, law, objective=objective,  # type: ignore[arg-type]
                intervals="bootstrap" if n_boot else None, n_boot=n_boot or 1000, seed=seed,
            )  # fmt: skip
        except AnalysisError as error:
            reasons[group] = str(error)
    if not found:
        raise AnalysisError("; ".join(dict.fromkeys(reasons.values())))
    return found, reasons


def _check_sizes(table: Table) -> None:
    """Two sizes fix an exponent and its factor together and neither alone."""
    from analysis.errors import AnalysisError

    column = table.columns.get("n")
    sizes = table.frame[column].nunique() if column in table.frame else _LEAST_SIZES
    if sizes < _LEAST_SIZES:
        raise AnalysisError(
            f"{sizes} distinct {column}: an exponent and its factor need {_LEAST_SIZES} sizes to "
            "be told apart; add runs of other sizes"
        )
