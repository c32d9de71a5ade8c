"""Report cards: how each fit was made, how far it can be trusted, and its flags."""

from __future__ import annotations

from analysis.isoflop_result import BudgetFit, IsoflopResult, RefusedBudget
from analysis.report.views import Card, Cell, Head, TableView, cell, estimate_cell, table_view
from analysis.result import FitResult
from analysis.study import Arm, Study
from analysis.style import CSS_VARIABLES, count, flops, number, printed

_AXES = {"n": "N", "d": "D", "c": "C", "u": "U"}


def _end(role: str, value: float) -> str:
    return flops(value) if role == "c" else count(value) if role in _AXES else number(value)


def cards(study: Study) -> tuple[Card, ...]:
    """Per arm: the loss surface, and the isoFLOP profiles."""
    made = []
    for arm in study.arms.values():
        made.append(_surface(arm))
        made.append(_profiles(arm))
    return tuple(made)


def _surface(arm: Arm) -> Card:
    key = CSS_VARIABLES[arm.mark.colour]
    if arm.fit is None:
        reason = arm.missing.get("fit", "no reason given")
        return Card(title=f"{arm.name}: loss surface", status="failed", key=key,
                    facts=(("Not fitted", reason),))  # fmt: skip
    fit = arm.fit
    return Card(
        title=f"{arm.name}: loss surface",
        status=fit.status,
        key=key,
        formula=fit.formula,
        table=_estimates(fit),
        facts=tuple(_surface_facts(fit)),
        flags=fit.flags,
    )


def _estimates(fit: FitResult) -> TableView:
    estimates = [*fit.estimates.values(), *fit.derived.values()]
    rows = [
        [Cell(text=e.name), estimate_cell(e), cell(e.interval.method if e.interval else None)]
        for e in estimates
    ]
    heads = [Head(text="Number"), Head(text="value", numeric=True), Head(text="interval by")]
    level = next((e.interval.level for e in estimates if e.interval), 0.95)
    caption = f"{fit.label}: estimates with {level:.0%} intervals, the widest of those computed"
    return table_view(caption, heads, rows)


def _surface_facts(fit: FitResult) -> list[tuple[str, str]]:
    axes = "; ".join(
        f"{_AXES.get(role, role)} = {axis.column}, {_end(role, axis.low)} to "
        f"{_end(role, axis.high)}, {axis.n_distinct} distinct"
        for role, axis in fit.axes.items()
    )
    facts = [
        ("Source", fit.source),
        ("Runs", f"{fit.n_runs} used, {len(fit.excluded)} excluded, {fit.n_clusters} "
                 f"{_plural(fit.cluster, fit.n_clusters)} behind the intervals"),
        ("Axes", axes),
        ("Objective", f"sum of {fit.objective} on log loss"
                      + (f", δ = {fit.delta:g}" if fit.delta else "")
                      + f" = {number(fit.objective_value, 4)}"),
        ("Search", f"{fit.start_share:.0%} of {fit.n_starts} starts reached the optimum; gradient "
                   f"norm {number(fit.gradient_norm, 2)}, condition number "
                   f"{number(fit.condition_number, 3)}"),
        ("Largest residual", f"{100 * abs(fit.residuals).max():.2g} %"),
    ]  # fmt: skip
    if fit.bounds_touched:
        facts.append(("On a bound", ", ".join(fit.bounds_touched)))
    if len(fit.delta_sensitivity) and "a" in fit.delta_sensitivity:
        values = fit.delta_sensitivity["a"]
        facts.append(("a under other objectives",
                      f"{number(values.min())} to {number(values.max())}"))  # fmt: skip
    return facts


def _plural(word: str, amount: int) -> str:
    return word if amount == 1 else f"{word}s"


def _profiles(arm: Arm) -> Card:
    key = CSS_VARIABLES[arm.mark.colour]
    title = f"{arm.name}: isoFLOP profiles"
    if arm.isoflop is None:
        reason = arm.missing.get("isoflop", "no reason given")
        return Card(title=title, status="failed", key=key, facts=(("Not fitted", reason),))
    result = arm.isoflop
    warned = any(flag.severity != "note" for flag in result.flags)
    return Card(
        title=title,
        status="flagged" if warned else "ok",
        key=key,
        formula=f"N* = {number(result.coefficients['params_at_1'])} × C^"
        f"{number(result.exponents['a'].value)}",
        table=_budgets(result),
        facts=(
            ("a", _with_method(result, "a")),
            ("b", _with_method(result, "b")),
            ("Minimum by", result.method),
            ("Noise of a run", _noise(result)),
            ("Axes", f"N = {result.columns['n']}, D = {result.columns['d']}, "
                     f"C = {result.columns['c']}"),
        ),
        flags=result.flags,
    )  # fmt: skip


def _with_method(result: IsoflopResult, name: str) -> str:
    box = result.exponents[name].interval
    return f"{printed(result.exponents[name])} ({box.method if box else 'no interval'})"


def _noise(result: IsoflopResult) -> str:
    nats = result.noise.nats
    return "unknown" if nats is None else f"{number(nats, 2)} in loss, from {result.noise.source}"


def _budgets(result: IsoflopResult) -> TableView:
    rows = {b.flops: _used_budget(b) for b in result.budgets}
    rows |= {b.flops: _refused_budget(b) for b in result.refused}
    heads = [Head(text="Budget", unit="FLOPs"), Head(text="sizes", numeric=True),
             Head(text="N*", numeric=True), Head(text="D*", numeric=True),
             Head(text="loss", numeric=True)]  # fmt: skip
    return table_view("Minimum of each budget", heads, [rows[flop] for flop in sorted(rows)])


def _used_budget(budget: BudgetFit) -> list[Cell]:
    box = budget.params_interval
    small = f"[{count(box.low)}, {count(box.high)}]" if box else "no interval"
    return [
        Cell(text=flops(budget.flops)),
        Cell(text=str(budget.n_sizes)),
        Cell(text=count(budget.params_opt), small=small),
        Cell(text=count(budget.tokens_opt)),
        Cell(text=number(budget.loss_opt, 4)),
    ]


def _refused_budget(budget: RefusedBudget) -> list[Cell]:
    head = [Cell(text=flops(budget.flops)), Cell(text=str(budget.n_sizes))]
    return [*head, Cell(text="refused", small=budget.reason), cell(None), cell(None)]
