"""IsoFLOP profiles: the best size per budget, and how it grows (Hoffmann et al., approach 2).

Per budget, the minimum of loss over log N by a parabola (Hoffmann et al. 2022, arXiv:2203.15556,
section 3.2) or by Akima interpolation (Porian et al. 2024, arXiv:2406.19146). The loss of each
point is redrawn with its noise; the spread of the minima, but at least a third of the mean step
between sizes, weighs the budget in the regression of log N* on log C, as Porian et al. did.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from analysis import minimum
from analysis.budget_minimum import (
    MIN_SIZES,
    NOISE_METHOD,
    MinimumDraws,
    draw_minima,
    fitted_budget,
    refused_budget,
)
from analysis.budgets import budgets_of, profiles_of
from analysis.errors import AnalysisError
from analysis.isoflop_result import BudgetFit, IsoflopResult, Method, RefusedBudget
from analysis.noise import Noise, noise_of
from analysis.power_line import estimate_from_draws, fit_line, scale_of
from analysis.style import flops
from analysis.table import Table
from analysis.values import Estimate, Flag

Floats = NDArray[np.float64]

# Above this share of lost draws the interval describes the draws that worked, not the estimate.
_MANY_LOST = 0.05
# Budgets that an error names per reason.
_MAX_NAMED = 3

TWO_LEVEL_METHOD = "bootstrap of budgets and of the noise of each point"


def isoflop(
    table: Table,
    *,
    method: Method = "akima",
    noise_nats: float | None = None,
    tolerance: float = 0.1,
    n_boot: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> IsoflopResult:
    """Fits N* and D* over C from the minimum of each budget.

    Args:
        table: runs of one group on one yardstick; `c` groups them into budgets.
        method: "akima" follows the points; "parabola" smooths over the noise of single runs.
        noise_nats: standard deviation of a run's loss over seeds; None takes it from repeated
            seeds, else from the scatter about parabolas.
        tolerance: relative width within which FLOPs count as one budget.
    Raises:
        AnalysisError: mixed yardsticks or groups, or fewer than two budgets have a minimum.

    >>> from analysis import isoflop, load_table
    >>> from analysis.examples import planted_runs
    >>> result = isoflop(load_table(planted_runs()))
    >>> round(result.exponents["a"].value, 2)
    0.52
    >>> len(result.budgets), len(result.refused)
    (5, 0)
    """
    _check(table, method)
    budget = budgets_of(table, tolerance=tolerance)
    noise = noise_of(table, budget, noise_nats)
    generator = np.random.default_rng(seed)
    fits: list[BudgetFit] = []
    refused: list[RefusedBudget] = []
    drawn: list[MinimumDraws] = []
    for profile in profiles_of(table, budget):
        outcome = draw_minima(profile, method, noise.nats, n_boot, generator)
        if isinstance(outcome, str):
            refused.append(refused_budget(profile, outcome))
        else:
            fits.append(fitted_budget(profile, outcome, method, level if noise.nats else None))
            drawn.append(outcome)
    if len(fits) < 2:
        raise AnalysisError(
            f"{len(fits)} of {len(fits) + len(refused)} budgets have a minimum; an exponent needs "
            f"2 ({_grouped(refused)})"
        )
    exponents, coefficients, draws = _regress(fits, drawn, noise, level, generator)
    return IsoflopResult(
        method=method, budgets=tuple(fits), refused=tuple(refused), exponents=exponents,
        coefficients=coefficients, noise=noise, draws=draws, columns=table.columns,
        labels=table.labels, yardstick=table.yardstick, n_runs=len(table.frame), seed=seed,
        flags=_flags(fits, refused, noise, draws),
    )  # fmt: skip


def _check(table: Table, method: str) -> None:
    if method not in minimum.METHODS:
        known = ", ".join(minimum.METHODS)
        raise AnalysisError(f"method={method!r} is unknown; known: {known}")
    if len(table.loss_kinds) > 1:
        raise AnalysisError(
            f"losses on {len(table.loss_kinds)} yardsticks ({', '.join(table.loss_kinds)}) share "
            "no profile; select one group, or use bits_per_byte"
        )
    if len(table.groups) > 1:
        raise AnalysisError(
            f"the table holds {len(table.groups)} groups ({', '.join(map(str, table.groups))}); "
            "select one, or compare them"
        )


def _grouped(refused: list[RefusedBudget]) -> str:
    """Every reason once, with how many budgets it holds for and which."""
    by_reason: dict[str, list[float]] = {}
    for budget in refused:
        by_reason.setdefault(budget.reason, []).append(budget.flops)
    parts = []
    for reason, budgets in sorted(by_reason.items(), key=lambda item: -len(item[1])):
        where = ", ".join(map(flops, budgets[:_MAX_NAMED]))
        if len(budgets) > _MAX_NAMED:
            where += f" to {flops(max(budgets))}"
        parts.append(f"{len(budgets)} x {reason}: {where} FLOPs")
    return "; ".join(parts)


def _regress(
    fits: list[BudgetFit],
    drawn: list[MinimumDraws],
    noise: Noise,
    level: float,
    generator: np.random.Generator,
) -> tuple[dict[str, Estimate], dict[str, float], dict[str, Floats]]:
    """Weighted lines of log N* and log D* on log C, with draws of both levels."""
    log_c = np.log([fit.flops for fit in fits])
    weight = 1 / np.array([fit.log_params_spread for fit in fits]) ** 2
    n_boot = len(drawn[0].inside)
    # Two ways to treat a draw that has a minimum outside the sizes. Porian et al. leave the draw
    # out, which tells less than the truth where it happens often; the two-level draws keep it.
    whole = np.stack([d.inside for d in drawn]).all(axis=0)
    resampled = generator.integers(len(fits), size=(n_boot, len(fits)))
    exponents, draws = {}, {}
    coefficients: dict[str, float] = {}
    for name, role in (("a", "params"), ("b", "tokens")):
        values = np.log([getattr(fit, f"{role}_opt") for fit in fits])
        slope, intercept = fit_line(log_c, values[None], weight)
        drawn_BK = np.stack([getattr(d, f"log_{role}") for d in drawn], axis=1)
        by_noise, _ = fit_line(log_c, drawn_BK[whole], weight)
        picked = np.take_along_axis(drawn_BK, resampled, axis=1)
        two_level, _ = fit_line(log_c[resampled], picked, weight[resampled])
        ways = {TWO_LEVEL_METHOD: two_level}
        if noise.nats:
            ways[NOISE_METHOD] = by_noise
        if len(fits) < MIN_SIZES:
            ways.pop(TWO_LEVEL_METHOD)
        opt = {"params": "N_opt", "tokens": "D_opt"}[role]
        exponents[name] = estimate_from_draws(
            name, slope[0], ways, meaning=f"exponent of {opt} over C", level=level
        )
        coefficients |= scale_of(f"{role}_at_1", float(intercept[0]))
        draws[name] = two_level if len(fits) >= MIN_SIZES else by_noise
    return exponents, coefficients, draws


def _flags(
    fits: list[BudgetFit],
    refused: list[RefusedBudget],
    noise: Noise,
    draws: dict[str, Floats],
) -> tuple[Flag, ...]:
    flags = list(noise.flags)
    small = [bad for bad in refused if bad.n_sizes < MIN_SIZES]
    if small:
        listed = ", ".join(flops(bad.flops) for bad in small[:5])
        flags.append(Flag(
            code="budgets_too_small", severity="note",
            message=f"{len(small)} budgets with under {MIN_SIZES} sizes give no minimum "
            f"({listed}{', ...' if len(small) > 5 else ''})",
        ))  # fmt: skip
    for bad in refused:
        if bad.n_sizes >= MIN_SIZES:
            message = f"budget {flops(bad.flops)}: {bad.reason}"
            flags.append(Flag(code="budget_refused", message=message))
    for fit in fits:
        if fit.lost_share > _MANY_LOST:
            flags.append(Flag(
                code="minimum_unstable",
                message=f"budget {flops(fit.flops)}: {fit.lost_share:.0%} of the draws of the "
                "noise have their minimum at an end of the sizes",
            ))  # fmt: skip
    if len(fits) == 2:
        flags.append(Flag(
            code="two_budgets",
            message="two budgets give a line without a check; add a third",
        ))  # fmt: skip
    spread = np.log(max(f.flops for f in fits) / min(f.flops for f in fits))
    if spread < np.log(10):
        flags.append(Flag(
            code="short_range",
            message=f"the budgets span a factor of {np.exp(spread):.2g} in FLOPs; an exponent "
            "over less than a factor of 10 does not carry far",
        ))  # fmt: skip
    return tuple(flags)
