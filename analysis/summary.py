"""A FitResult as text, HTML and JSON: every number with its unit, interval and provenance."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis import shown
from analysis.style import plain

if TYPE_CHECKING:
    from analysis.result import FitResult
    from analysis.values import Estimate

# Arrays that are too long to be read.
_LEFT_OUT = ("draws",)
# Runs named per reason for leaving them out; `excluded` has them all.
_MAX_NAMED = 6


def as_text(fit: FitResult) -> str:
    """The numbers, how they were made, and the flags."""
    lines = [
        f"{fit.label}: {fit.formula}",
        f"status {fit.status}; {fit.n_runs} runs, {len(fit.excluded)} excluded; "
        f"{fit.source}",
        *(f"  {a.role.upper() if a.role != 'loss' else 'L'} = {a.column} [{a.unit}], "
          f"{a.low:.4g} to {a.high:.4g}, {a.n_distinct} distinct" for a in fit.axes.values()),
        "",
        *(_row(estimate) for estimate in {**fit.estimates, **fit.derived}.values()),
        "",
        _objective(fit),
        _search(fit),
        _noise(fit),
    ]  # fmt: skip
    if len(fit.excluded):
        lines += ["excluded:"]
        lines += [f"  {line}" for line in _reasons(fit.excluded)]
    if fit.flags:
        lines += ["flags:"]
        lines += [f"  [{f.severity}] {f.code}: {f.message}" for f in fit.flags]
    return "\n".join(lines)


def _row(estimate: Estimate) -> str:
    interval = estimate.interval
    text = f"  {estimate.name:8s} {estimate.value:<12.5g}"
    if interval is not None:
        box = f"({plain(interval.low)}, {plain(interval.high)})"
        text += f" {interval.level:.0%} {box:24s} {interval.method:34s}"
    return f"{text} [{estimate.unit}]"


def _objective(fit: FitResult) -> str:
    what = {"huber": f"Huber, delta = {fit.delta}", "l1": "absolute value", "ls": "half square"}
    other = fit.delta_sensitivity
    ends = ", ".join(
        f"{name}{f' {delta:g}' if name == 'huber' else ''} {value:.4g}"
        for name, delta, value in zip(
            other["objective"], other["delta"], other[_headline(fit)], strict=True
        )
    )
    return (
        f"objective: sum over runs of {what[fit.objective]}, of log loss = "
        f"{fit.objective_value:.10g}; {_headline(fit)} under other objectives: {ends}"
    )


def _headline(fit: FitResult) -> str:
    """The number whose stability matters most: the exponent of N_opt where there is one."""
    return "a" if "a" in fit.derived else list(fit.estimates)[-1]


def _search(fit: FitResult) -> str:
    moved = ", ".join(f"{name} {fit.start[name]:.4g} -> {fit.end[name]:.4g}" for name in fit.end)
    return (
        f"search: {fit.start_share:.0%} of {fit.n_starts} starts reached the optimum, gradient "
        f"norm {fit.gradient_norm:.1e}, condition number {fit.condition_number:.3g}; {moved}"
    )


def _noise(fit: FitResult) -> str:
    parts = ", ".join(f"{100 * value:.2g} % per {name}" for name, value in fit.noise.items())
    return (
        f"noise of the loss: {parts or 'unknown'}; clusters: {fit.n_clusters} by {fit.cluster}; "
        f"draws: {fit.draws_method or 'none'}, seed {fit.seed}"
    )


def _reasons(excluded: pd.DataFrame) -> list[str]:
    """One line per reason: how many runs, and which."""
    lines = []
    for reason, runs in excluded.groupby("reason", sort=False)["run"]:
        named = ", ".join(map(str, runs[:_MAX_NAMED]))
        more = f" and {len(runs) - _MAX_NAMED} more" if len(runs) > _MAX_NAMED else ""
        lines.append(f"{len(runs)} x {reason} ({named}{more})")
    return lines


def as_dict(fit: FitResult) -> dict[str, Any]:
    """Plain types only."""
    names = [f.name for f in dataclasses.fields(fit) if f.name not in _LEFT_OUT]
    return {"label": fit.label, "n_runs": fit.n_runs} | {
        name: _plain(getattr(fit, name)) for name in names
    }


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, pd.DataFrame):
        return [_plain(row) for row in value.to_dict("records")]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def as_html(fit: FitResult) -> str:
    """A table of the numbers, and the flags."""
    rows = []
    for estimate in {**fit.estimates, **fit.derived}.values():
        box = estimate.interval
        ends = f"{plain(box.low)} to {plain(box.high)}" if box else ""
        rows.append((estimate.name, f"{estimate.value:.5g}", ends, box.method if box else "",
                     estimate.unit, estimate.meaning))  # fmt: skip
    lines = [
        f"{fit.label}: {fit.formula}",
        f"status {fit.status}; {fit.n_runs} runs, {len(fit.excluded)} excluded",
    ]
    heads = ("", "value", "95 %", "interval by", "unit", "meaning")
    return shown.as_html(lines, heads=heads, rows=rows, flags=fit.flags)
