"""Flags: what makes a fit less than it seems, from the design of the table to the intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from analysis.bootstrap import Draws
from analysis.inputs import Runs
from analysis.laws.law import Floats, Law
from analysis.profile import ROUNDING, Profile, quantities
from analysis.search import Search
from analysis.values import Estimate, Flag
from analysis.working import Working

# Spread of ln(tokens per parameter) about a straight line in ln N below which it is one ray.
_RAY = 0.05
_RISE_T = 2.0
_FEW_STARTS = 0.25
_ILL_CONDITIONED = 1e7
_FEW_VALUES = 3


def flags_of_design(runs: Runs) -> list[Flag]:
    """What the table cannot tell, whatever the losses are."""
    law, flags = runs.law, []
    for role in law.axes:
        axis = runs.axes[role]
        if role != "u" and axis.n_distinct < _FEW_VALUES:
            flags.append(Flag(
                code="few_values", parameter=role,
                message=f"{axis.n_distinct} distinct {axis.column}: an exponent and its factor need"
                f" {_FEW_VALUES} to be told apart; add runs at other values",
            ))  # fmt: skip
    if {"n", "d"} <= set(law.axes) and _off_ray(runs) < _RAY:
        flags.append(Flag(
            code="one_ray",
            message="all runs lie on one ray of tokens over parameters, where the size and the "
            "data term cannot be told apart; add runs at other tokens per parameter",
        ))  # fmt: skip
    if runs.n_runs == len(law.parameters):
        flags.append(Flag(
            code="no_freedom",
            message=f"{runs.n_runs} runs for {runs.n_runs} parameters: the law passes through "
            "every run and nothing is left to judge it by; add runs",
        ))  # fmt: skip
    return flags + _rising(runs)


def _off_ray(runs: Runs) -> float:
    n, d = runs.log_axes["n"], runs.log_axes["d"]
    slope = float(n @ d) / max(float(n @ n), 1e-300)
    return float(np.std(d - slope * n)) if n.any() else math.inf


def _rising(runs: Runs) -> list[Flag]:
    """A loss that grows along an axis with the others held, by least squares on logarithms."""
    roles = [role for role in runs.law.axes if role != "u"]
    columns = np.stack([np.ones(runs.n_runs), *(runs.log_axes[role] for role in roles)], axis=1)
    freedom = runs.n_runs - columns.shape[1]
    if freedom < 1 or np.linalg.matrix_rank(columns) < columns.shape[1]:
        return []
    inverse = np.linalg.inv(columns.T @ columns)
    slope = inverse @ columns.T @ runs.log_loss
    residual = runs.log_loss - columns @ slope
    error = np.sqrt(np.diag(inverse) * float(residual @ residual) / freedom)
    return [
        Flag(
            code="loss_rises", parameter=role,
            message=f"the loss rises with {runs.axes[role].column} (exponent {slope[i]:+.3g} on "
            "logarithms), which no law here can follow; look for diverged or untuned runs",
        )
        for i, role in enumerate(roles, start=1)
        if slope[i] > max(_RISE_T * error[i], 1e-6)
    ]  # fmt: skip


def bounds_touched(law: Law, theta: Floats) -> tuple[str, ...]:
    """Parameters that ended on a bound, such as "E = 0 (lower)"."""
    touched = []
    for parameter, value in zip(law.parameters, theta, strict=True):
        for bound, name in ((parameter.low, "lower"), (parameter.high, "upper")):
            if math.isfinite(bound) and abs(value - bound) <= 1e-9 * max(abs(bound), 1e-3):
                touched.append(f"{parameter.name} = {bound:.4g} ({name})")
    return tuple(touched)


def flags_of_search(found: Search, law: Law) -> list[Flag]:
    """What the search for the optimum says about it."""
    flags = []
    if not found.converged:
        flags.append(Flag(
            code="not_converged", severity="failure",
            message="the optimiser stopped before the optimum (gradient norm "
            f"{found.gradient_norm:.1e}); look at the residuals for runs that do not belong, or "
            "take a smaller law",
        ))  # fmt: skip
    moved = np.abs(found.theta - found.start) / (np.abs(found.start) + 1e-12)
    if float(moved.max()) < 1e-12:
        is_verified = found.gradient_norm < 1e-6
        flags.append(Flag(
            code="start_equals_end", severity="warning" if is_verified else "failure",
            message="the result equals the start"
            + ("; the gradient vanishes there" if is_verified else ": the optimiser never moved"),
        ))  # fmt: skip
    flags += [
        Flag(
            code="on_bound", parameter=bound.split(" = ")[0],
            message=f"{bound}: the parameter ended on its bound, the law has a term too many for "
            "these runs",
        )
        for bound in bounds_touched(law, found.theta)
    ]  # fmt: skip
    if found.start_share < _FEW_STARTS:
        flags.append(Flag(
            code="few_starts_agree",
            message=f"{found.start_share:.0%} of {found.n_starts} starts reached the optimum: "
            "there are other valleys; compare with a smaller law",
        ))  # fmt: skip
    return flags


def flags_of_condition(working: Working) -> list[Flag]:
    """Parameters that trade off against each other without a trace in the loss."""
    number = condition_number(working)
    if number <= _ILL_CONDITIONED:
        return []
    return [Flag(
        code="ill_conditioned",
        message=f"condition number {number:.1e}: some parameters trade off against each other "
        "without a trace in the loss",
    )]  # fmt: skip


def flags_of_delta(sensitivity: pd.DataFrame, estimates: Mapping[str, Estimate]) -> list[Flag]:
    """A number that another delta, ten times smaller or larger, takes out of its interval."""
    near = sensitivity[sensitivity["objective"] == "huber"]
    flags = []
    for name, estimate in estimates.items():
        box = estimate.interval
        if box is None:
            continue
        outside = [f"{v:.4g} at {d:g}" for d, v in zip(near["delta"], near[name], strict=True)
                   if v < box.low or v > box.high]  # fmt: skip
        if outside and box.width > 1e-9 * abs(estimate.value):
            flags.append(Flag(
                code="delta_decides", parameter=name,
                message=f"{name} leaves its interval under another delta ({', '.join(outside)}): "
                "outliers decide it; look at the largest residuals",
            ))  # fmt: skip
    return flags


def condition_number(working: Working) -> float:
    """Of the Jacobian with columns of length 1, parameters on a bound left out.

    A parameter inside its bounds without effect makes it infinite.
    """
    law, theta = working.problem.law, working.theta
    inside = (theta > law.low) & (theta < law.high)
    length = np.linalg.norm(working.jacobian, axis=0)
    if not inside.any() or not (length[inside] > 0).all():
        return math.inf
    size = np.linalg.svd(working.jacobian[:, inside] / length[inside], compute_uv=False)
    return float(size[0] / size[-1]) if size[-1] > 0 else math.inf


def flags_of_noise(working: Working) -> list[Flag]:
    """A table without noise: its intervals are empty, which proves nothing."""
    if working.freedom < 1 or working.variance > ROUNDING:
        return []
    return [Flag(
        code="no_noise", severity="note",
        message="the law passes through every run to rounding: the losses look computed, not "
        "measured, and the intervals say nothing",
    )]  # fmt: skip


def flags_of_intervals(
    law: Law,
    estimates: Mapping[str, Estimate],
    profiles: Mapping[str, Profile],
    draws: Draws | None,
) -> list[Flag]:
    """What is not identified, and draws that went wrong."""
    flags = []
    for quantity in quantities(law):
        estimate = estimates[quantity.name]
        profile = profiles.get(quantity.name)
        box = estimate.interval
        if quantity.name == "E":
            if box is not None and box.low <= 0.0:
                flags.append(_unidentified("E", "its interval reaches 0"))
        elif profile is not None and profile.is_open_high:
            flags.append(_unidentified(quantity.name, "no upper end was found: it is unbounded"))
        elif profile is not None and profile.is_open_low:
            flags.append(_unidentified(quantity.name, "no lower end was found"))
        if not math.isfinite(estimate.value):
            flags.append(Flag(
                code="not_finite", parameter=quantity.name,
                message=f"{quantity.name} = {estimate.value}: a term of the law is 0 or out of "
                "range, so that it has no value",
            ))  # fmt: skip
    if draws is not None and draws.unconverged_share > 0.05:
        flags.append(Flag(
            code="draws_unconverged",
            message=f"{draws.unconverged_share:.0%} of the bootstrap refits stopped early; their "
            "intervals are rough",
        ))  # fmt: skip
    return flags


def _unidentified(name: str, why: str) -> Flag:
    return Flag(
        code="E_not_identified" if name == "E" else "not_identified", parameter=name,
        message=f"{name} is not identified: {why}",
    )  # fmt: skip
