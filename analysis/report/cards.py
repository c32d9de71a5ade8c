"""Report cards: the checklist of each fit of an arm, how far it can be trusted, and its flags."""

from __future__ import annotations

from analysis.agreement import ENVELOPE
from analysis.arm import Arm
from analysis.frontier_result import FrontierResult
from analysis.isoflop_result import BudgetFit, IsoflopResult, RefusedBudget
from analysis.laws import FITTED, LAWS
from analysis.polish import MAX_ITERATIONS, TOLERANCE
from analysis.report.checklist import Facts, FitFacts, checklist
from analysis.report.views import Card, Cell, Head, TableView, cell, estimate_cell, table_view
from analysis.result import FitResult
from analysis.study import Study
from analysis.style import CSS_VARIABLES, count, flops, number, printed

_PROFILE_FORM = {
    "parabola": "L = a parabola in log N per budget",
    "akima": "L = an Akima interpolant of log L over log N per budget",
}
_OBJECTIVES = {"huber": "Huber's loss", "l1": "the absolute value", "ls": "half the square"}
_ENVELOPE_FORM = (
    "N* = the size with the lowest loss at C, then N* = k C^a; Hoffmann et al. 2022, 3.1"
)
_CLOSED_FORM = "none: the optimum is in closed form"


def cards(study: Study) -> tuple[Card, ...]:
    """Per arm: the loss surface, the isoFLOP profiles, and the lower envelope."""
    makers = (_surface, _profiles, _envelope)
    return tuple(make(study, arm) for arm in study.arms.values() for make in makers)


def _failed(study: Study, arm: Arm, title: str, form: str, reason: str) -> Card:
    """A fit that could not be made answers the checklist all the same."""
    nothing = "not reached: the fit could not be made"
    facts = FitFacts(
        form=form, objective=nothing, start=nothing, optimiser=nothing, starts_that_agree=nothing,
        bounds=nothing, uncertainty=nothing, goodness=nothing,
    )  # fmt: skip
    return Card(
        title=title, status="failed", key=CSS_VARIABLES[arm.mark.colour],
        facts=(("Not fitted", reason), *checklist(study, arm, facts)),
    )  # fmt: skip


def _surface(study: Study, arm: Arm) -> Card:
    title = f"{arm.name}: loss surface"
    fit = arm.fit
    if fit is None:
        reason = arm.missing.get("fit", "no reason given")
        return _failed(study, arm, title, LAWS["chinchilla"].formula, reason)
    facts = checklist(study, arm, surface_facts(fit))
    return surface_card(fit, title, facts, CSS_VARIABLES[arm.mark.colour])


def surface_card(fit: FitResult, title: str, facts: Facts, key: str = "") -> Card:
    """The card of a fitted law; `key` is the CSS variable of its arm's colour."""
    return Card(
        title=title,
        status=fit.status,
        key=key,
        formula=fit.formula,
        table=_estimates(fit),
        facts=facts,
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


def surface_facts(fit: FitResult) -> FitFacts:
    law = FITTED[fit.law]
    delta = f", δ = {fit.delta:g}" if fit.delta else ""
    limits = ", ".join(f"{p.name} {p.low:g} to {p.high:g}" for p in law.parameters)
    touched = ", ".join(fit.bounds_touched) or "none touched"
    draws = 0 if fit.draws is None else len(fit.draws)
    made = f"{fit.draws_method}, {draws} draws, seed {fit.seed}" if draws else "no draws"
    noise = ", ".join(f"{100 * v:.2g} % per {name}" for name, v in fit.noise.items()) or "unknown"
    return FitFacts(
        form=f"{fit.formula}; {len(law.parameters)} parameters; {fit.source}",
        objective=f"the sum over runs of {_OBJECTIVES[fit.objective]} of log loss{delta} = "
        f"{number(fit.objective_value, 4)}{_other_objectives(fit)}",
        start=f"a grid over {', '.join(p.name for p in law.shapes)}, amplitudes by non-negative "
        f"least squares at each point; {fit.n_starts} starts polished",
        optimiser="projected Levenberg-Marquardt until the gradient's cosine is under "
        f"{TOLERANCE:g}, {MAX_ITERATIONS} steps at most; gradient norm "
        f"{number(fit.gradient_norm, 2)}, condition number {number(fit.condition_number, 3)}",
        starts_that_agree=f"{fit.start_share:.0%} of {fit.n_starts} reached the optimum",
        bounds=f"{limits} (scaled); {touched}",
        uncertainty=f"the widest of {made}, and profile F; {fit.n_clusters} clusters by "
        f"{fit.cluster}; noise {noise}",
        goodness=f"{fit.n_runs} runs; residuals of log loss: largest "
        f"{100 * abs(fit.residuals).max():.2g} %, root mean square "
        f"{100 * float((fit.residuals**2).mean()) ** 0.5:.2g} %",
    )


def _other_objectives(fit: FitResult) -> str:
    if not len(fit.delta_sensitivity) or "a" not in fit.delta_sensitivity:
        return ""
    values = fit.delta_sensitivity["a"]
    return f"; a under other objectives {number(values.min())} to {number(values.max())}"


def _profiles(study: Study, arm: Arm) -> Card:
    title = f"{arm.name}: isoFLOP profiles"
    result = arm.isoflop
    if result is None:
        form = _PROFILE_FORM["parabola"] + ", then N* = k C^a"
        return _failed(study, arm, title, form, arm.missing.get("isoflop", "no reason given"))
    facts = checklist(study, arm, profile_facts(result))
    return profiles_card(result, title, facts, CSS_VARIABLES[arm.mark.colour])


def profiles_card(result: IsoflopResult, title: str, facts: Facts, key: str = "") -> Card:
    """The card of isoFLOP profiles; `key` is the CSS variable of their arm's colour."""
    warned = any(flag.severity != "note" for flag in result.flags)
    return Card(
        title=title,
        status="flagged" if warned else "ok",
        key=key,
        formula=f"N* = {number(result.coefficients['params_at_1'])} × C^"
        f"{number(result.exponents['a'].value)}",
        table=_budgets(result),
        facts=(("a", _with_method(result, "a")), ("b", _with_method(result, "b")), *facts),
        flags=result.flags,
    )  # fmt: skip


def profile_facts(result: IsoflopResult) -> FitFacts:
    used, refused = len(result.budgets), len(result.refused)
    lost = max((budget.lost_share for budget in result.budgets), default=0.0)
    return FitFacts(
        form=f"{_PROFILE_FORM[result.method]}, its minimum N*, then N* = k C^a; Hoffmann et al. "
        "2022, section 3.2; Porian et al. 2024",
        objective="least squares of log N* on log C, each budget weighted by the inverse variance "
        "of its minimum under the noise",
        start=_CLOSED_FORM,
        optimiser=_CLOSED_FORM,
        starts_that_agree="one start: the optimum is unique",
        bounds="a minimum at or beyond the smallest or largest size is refused; "
        f"{refused} of {used + refused} budgets were",
        uncertainty=f"{_with_method(result, 'a')}; noise of a run {_noise(result)}",
        goodness=f"{used} minima; at most {lost:.0%} of the draws of the noise lose one",
    )


def _envelope(study: Study, arm: Arm) -> Card:
    title = f"{arm.name}: lower envelope"
    found = arm.agreement.named(ENVELOPE)
    if found is None or not isinstance(found.result, FrontierResult):
        reason = found.reason if found and found.reason else "it was not asked for"
        return _failed(study, arm, title, _ENVELOPE_FORM, reason)
    facts = checklist(study, arm, envelope_facts(found.result))
    status = "flagged" if found.doubts else "ok"
    return envelope_card(found.result, title, facts, status, CSS_VARIABLES[arm.mark.colour])


def envelope_card(
    result: FrontierResult, title: str, facts: Facts, status: str, key: str = ""
) -> Card:
    """The card of a lower envelope; `key` is the CSS variable of its arm's colour."""
    a = result.exponents["a"]
    return Card(
        title=title, status=status, key=key,
        formula=f"N* = {number(result.coefficients['params_at_1'])} × C^{number(a.value)}",
        facts=facts, flags=result.flags,
    )  # fmt: skip


def envelope_facts(result: FrontierResult) -> FitFacts:
    """How an envelope was made, item by item."""
    a = result.exponents["a"]
    low, high = result.flops_range
    tried = ", ".join(f"{row['smoothing']:.0f}: {row['a']:.3f}"
                      for _, row in result.variants.iterrows())  # fmt: skip
    left_out = "; ".join(result.left_out) or "nothing"
    return FitFacts(
        form=_ENVELOPE_FORM,
        objective=f"least squares of log N* on log C from {flops(low)} to {flops(high)} FLOPs, "
        "where a smaller and a larger size reach the same FLOPs",
        start=_CLOSED_FORM,
        optimiser=_CLOSED_FORM,
        starts_that_agree="one start: the optimum is unique",
        bounds=f"losses compared: {result.basis}; left out: {left_out}",
        uncertainty=f"{printed(a)} ({a.interval.method if a.interval else 'no interval'})",
        goodness=f"{result.n_sizes} sizes on the line; a by readings averaged: {tried}",
    )


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
             Head(text="N*", unit=result.columns["n"], numeric=True),
             Head(text="D*", unit=result.columns["d"], numeric=True),
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
