"""`scaling predict`: loss, N* and D* at a budget, and how far beyond the runs it lies."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from analysis.commands.say import say
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
    from collections.abc import Iterable

    from analysis.result import FitResult
    from analysis.table import Table
    from analysis.values import Estimate, Flag

LEVEL = 0.95
# A run hits its nominal budget to within this many decades.
_SAME = 0.02
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
    fits, reasons = _only_sound(fits, reasons)
    rows = []
    for group, fit in fits.items():
        part = groups_of(table)[group]
        rows += [{"group": group, **_at_budget(fit, part, budget)} for budget in flops]
        if params is not None and tokens is not None:
            rows.append({"group": group, **_at_point(fit, part, params, tokens)})
    if as_json:
        print(json.dumps({"predictions": rows, "not_fitted": reasons}, indent=1, allow_nan=False))
        return
    for group in fits:
        own = [row for row in rows if row["group"] == group]
        say(*map(_text, own), *_warnings(own), sep="\n")
    for group, reason in reasons.items():
        say(f"{group}: not fitted: {reason}")


def _only_sound(
    fits: dict[str, FitResult], reasons: dict[str, str]
) -> tuple[dict[str, FitResult], dict[str, str]]:
    """A law that failed predicts nothing; the other groups still do.

    Raises:
        AnalysisError: every fit failed.
    """
    from analysis.errors import AnalysisError

    sound, failed = {}, dict(reasons)
    for group, fit in fits.items():
        try:
            sound[group] = fit.raise_for_status()
        except AnalysisError as error:
            failed[group] = str(error)
    if not sound:
        raise AnalysisError("; ".join(dict.fromkeys(failed.values())))
    return sound, failed


def _decades_beyond(value: float, low: float, high: float) -> float:
    """How far a value lies above or below a range, in powers of ten; 0 inside it."""
    return max(0.0, math.log10(value / high), math.log10(low / value))


def _common(fit: FitResult, table: Table, decades: float) -> dict[str, Any]:
    return {
        "decades_beyond_the_runs": round(decades, 3),
        "runs_flops": [float(table.values("c").min()), float(table.values("c").max())],
        "yardstick": table.yardstick,
        "interval": {"level": LEVEL, "method": fit.draws_method},
        "fit_status": fit.status,
    }


def _at_budget(fit: FitResult, table: Table, budget: float) -> dict[str, Any]:
    from analysis.flops_rule import flops_rule

    best = fit.optimal(budget, train_flops=flops_rule(table), level=LEVEL)
    flops = table.values("c")
    return {
        "flops": budget,
        **_common(fit, table, _decades_beyond(budget, flops.min(), flops.max())),
        "loss": _estimate(best.loss),
        "params_opt": _estimate(best.params),
        "tokens_opt": _estimate(best.tokens),
        "tokens_per_param": _finite(best.tokens_per_param),
        "convention": best.convention,
        "flags": _messages((*best.flags, *fit.flags)),
    }


def _at_point(fit: FitResult, table: Table, params: float, tokens: float) -> dict[str, Any]:
    found = fit.predict_interval(params, tokens, level=LEVEL)
    decades = max(
        _decades_beyond(value, fit.axes[role].low, fit.axes[role].high)
        for role, value in (("n", params), ("d", tokens))
    )
    low, high = (None if end is None else _finite(float(end)) for end in (found.low, found.high))
    loss = {"value": _finite(float(found.loss)), "low": low, "high": high}
    return {
        "params": params,
        "tokens": tokens,
        **_common(fit, table, decades),
        "loss": loss | {"unit": fit.axes["loss"].unit},
        "flags": _messages(fit.flags),
    }


def _messages(flags: Iterable[Flag]) -> list[str]:
    return [flag.message for flag in flags if flag.severity != "note"]


def _finite(value: float | None) -> float | None:
    """JSON has no infinity."""
    return value if value is not None and math.isfinite(value) else None


def _estimate(estimate: Estimate) -> dict[str, Any]:
    box = estimate.interval
    ends = (box.low, box.high) if box else (None, None)
    value, low, high = map(_finite, (estimate.value, *ends))
    return {"value": value, "low": low, "high": high, "unit": estimate.unit}


def _text(row: dict[str, Any]) -> str:
    from analysis.style import count, flops, interval, loss_label, number

    if "flops" in row:
        lines = [f"{row['group']} at {flops(row['flops'])} FLOPs ({row['convention']})"]
    else:
        lines = [f"{row['group']} at N = {count(row['params'])}, D = {count(row['tokens'])}"]
    loss = row["loss"]
    if loss["value"] is not None:
        ends = interval(loss["value"], loss["low"], loss["high"])
        lines.append(f"  loss  {ends}  {loss_label(row['yardstick'])}")
    for name, key in (("N*", "params_opt"), ("D*", "tokens_opt")):
        e = row.get(key)
        if e and e["value"]:
            box = f" [{count(e['low'])}, {count(e['high'])}]" if e["low"] is not None else ""
            lines.append(f"  {name}    {count(e['value'])}{box}  {e['unit']}")
    decades = row["decades_beyond_the_runs"]
    low, high = map(flops, row["runs_flops"])
    where = f"the runs ({low} to {high} FLOPs)" if "flops" in row else "the runs in N or D"
    if decades > _SAME:
        lines.append(f"  extrapolates {number(decades, 2)} decades beyond {where}")
    else:
        lines.append("  within the range of the runs")
    return "\n".join(lines)


def _warnings(rows: list[dict[str, Any]]) -> list[str]:
    """How the intervals of a group were made, and its warnings, each once."""
    made = rows[0]["interval"]
    flags = dict.fromkeys(flag for row in rows for flag in row["flags"])
    return [
        f"  {made['level']:.0%} intervals of the curve: {made['method'] or 'none'}",
        *(f"  warning: {flag}" for flag in flags),
    ]
