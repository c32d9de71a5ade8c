"""`scaling predict`: loss, N* and D* at a budget, and how far beyond the runs it lies."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from analysis.commands.source import (
    Columns,
    boot_options,
    find_source,
    groups_of,
    json_option,
    open_table,
    source_options,
)

if TYPE_CHECKING:
    from analysis.result import FitResult
    from analysis.table import Table
    from analysis.values import Estimate

_POSITIVE = click.FloatRange(min=0, min_open=True)

EPILOG = """\b
Examples:
  scaling predict runs/quickstart --flops 1e15
  scaling predict quickstart --params 1e8 --tokens 2e9
  scaling predict table.csv --flops 1e21 --flops 1e22 --json
"""


@click.command(epilog=EPILOG)
@source_options
@click.option("--flops", type=_POSITIVE, multiple=True,
              help="Budget to split; may be given several times.")  # fmt: skip
@click.option("--params", type=_POSITIVE, help="N of a run, in the convention of the table.")
@click.option("--tokens", type=_POSITIVE, help="D of a run.")
@boot_options
@json_option
def predict(
    source: str,
    root: Path,
    columns: Columns,
    flops: tuple[float, ...],
    params: float | None,
    tokens: float | None,
    n_boot: int,
    seed: int,
    as_json: bool,
) -> None:
    """Predict the loss of runs that SOURCE does not hold, by a law fitted to each group.

    With --flops: the best N* and D* of a budget and their loss; with --params and --tokens: the
    loss of that run. Intervals are of the fitted curve; they do not cover a law that is wrong.
    """
    from analysis.commands.fit import fit_groups

    if (params is None) != (tokens is None) or not (flops or params):
        raise click.UsageError("give --flops, or both --params and --tokens")
    table = open_table(find_source(source, root), columns)
    fits, reasons = fit_groups(table, n_boot=n_boot, seed=seed)
    rows = []
    for group, fit in fits.items():
        part = groups_of(table)[group]
        rows += [{"group": group, **_at_budget(fit, part, budget)} for budget in flops]
        if params is not None and tokens is not None:
            rows.append({"group": group, **_at_point(fit, params, tokens)})
    if as_json:
        print(json.dumps({"predictions": rows, "not_fitted": reasons}, indent=1))
        return
    for row in rows:
        print(_text(row))
    for group, reason in reasons.items():
        print(f"{group}: not fitted: {reason}")


def _at_budget(fit: FitResult, table: Table, budget: float) -> dict[str, Any]:
    from analysis.flops_rule import flops_rule

    fit.raise_for_status()
    best = fit.optimal(budget, train_flops=flops_rule(table))
    return {
        "flops": budget,
        "decades_beyond_the_runs": round(max(0.0, math.log10(best.extrapolation)), 3),
        "dearest_run_flops": float(table.values("c").max()),
        "loss": _estimate(best.loss),
        "yardstick": table.yardstick,
        "params_opt": _estimate(best.params),
        "tokens_opt": _estimate(best.tokens),
        "convention": best.convention,
        "fit_status": fit.status,
        "flags": [flag.message for flag in (*best.flags, *fit.flags) if flag.severity != "note"],
    }


def _at_point(fit: FitResult, params: float, tokens: float) -> dict[str, Any]:
    fit.raise_for_status()
    found = fit.predict_interval(params, tokens)
    beyond = max(
        (math.log10(max(value / fit.axes[role].high, fit.axes[role].low / value))
         for role, value in (("n", params), ("d", tokens))), default=0.0,
    )  # fmt: skip
    known = found.low is not None and found.high is not None
    return {
        "params": params,
        "tokens": tokens,
        "decades_beyond_the_runs": round(max(0.0, beyond), 3),
        "loss": {
            "value": float(found.loss),
            "low": float(found.low) if known else None,  # type: ignore[arg-type]
            "high": float(found.high) if known else None,  # type: ignore[arg-type]
            "unit": fit.axes["loss"].unit,
        },
        "fit_status": fit.status,
        "flags": [flag.message for flag in fit.flags if flag.severity != "note"],
    }


def _estimate(estimate: Estimate) -> dict[str, Any]:
    box = estimate.interval
    return {"value": estimate.value, "low": box.low if box else None,
            "high": box.high if box else None, "unit": estimate.unit}  # fmt: skip


def _text(row: dict[str, Any]) -> str:
    from analysis.style import count, flops, interval, loss_label, number

    loss = row["loss"]
    lines = []
    if "flops" in row:
        lines.append(f"{row['group']} at {flops(row['flops'])} FLOPs ({row['convention']})")
    else:
        lines.append(f"{row['group']} at N = {count(row['params'])}, D = {count(row['tokens'])}")
    unit = loss_label(row["yardstick"]) if "yardstick" in row else loss["unit"]
    lines.append(f"  loss  {interval(loss['value'], loss['low'], loss['high'])}  {unit}")
    for name, key in (("N*", "params_opt"), ("D*", "tokens_opt")):
        if key in row:
            e = row[key]
            ends = f" [{count(e['low'])}, {count(e['high'])}]" if e["low"] is not None else ""
            lines.append(f"  {name}    {count(e['value'])}{ends}  {e['unit']}")
    decades = row["decades_beyond_the_runs"]
    if decades > 0:
        lines.append(f"  extrapolates {number(decades, 2)} decades beyond the runs")
    else:
        lines.append("  within the range of the runs")
    lines += [f"  warning: {flag}" for flag in row["flags"]]
    return "\n".join(lines)
