"""The minimum of one budget's profile, redrawn with the noise of its runs, or why it has none.

The loss of each point is redrawn with its noise; the spread of the minima, but at least a third of
the mean step between sizes, weighs the budget in the regression of log N* on log C, as Porian et
al. 2024, arXiv:2406.19146, did.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis import minimum
from analysis.budgets import Profile
from analysis.isoflop_result import BudgetFit, Method, RefusedBudget
from analysis.laws.law import Floats
from analysis.power_line import quantile_interval

MIN_SIZES = 3


# Porian et al. trust no minimum to more than this share of the mean step between sizes.
_STEP_SHARE = 0.33


# Noise must not push a loss to where it has no logarithm.
_TINY_LOSS = 1e-9


NOISE_METHOD = "bootstrap of the noise of each point"


@dataclass(frozen=True, kw_only=True, slots=True)
class MinimumDraws:
    """Minima per draw of the noise [n_boot]; `inside`: it lies between the sizes."""

    log_params: Floats
    log_tokens: Floats
    losses: Floats
    inside: NDArray[np.bool_]


def draw_minima(
    profile: Profile,
    method: Method,
    noise_nats: float | None,
    n_boot: int,
    generator: np.random.Generator,
) -> MinimumDraws | str:
    """The minimum per draw of the noise, or why there is none."""
    log_n, loss = profile.log_n, profile.loss
    if len(log_n) < MIN_SIZES:
        return f"{len(log_n)} size{'s' * (len(log_n) != 1)}; a minimum needs {MIN_SIZES}"
    find = minimum.METHODS[method]
    at, lowest, reasons = find(log_n, loss[None])
    if reasons[0]:
        return str(reasons[0])
    if noise_nats:
        sigma = noise_nats / np.sqrt(profile.repeats)
        noisy = loss + sigma * generator.standard_normal((n_boot, len(loss)))
        at, lowest, reasons = find(log_n, np.maximum(noisy, _TINY_LOSS))
    else:
        at, lowest, reasons = (np.repeat(x, n_boot) for x in (at, lowest, reasons))
    inside = reasons == ""
    if not inside.any():
        return "no draw of the noise leaves a minimum between the sizes"
    clipped = np.clip(at, log_n[0], log_n[-1])
    # Beyond the sizes, D falls as N grows at equal FLOPs.
    log_tokens = np.interp(clipped, log_n, profile.log_d) - (at - clipped)
    return MinimumDraws(log_params=at, log_tokens=log_tokens, losses=lowest, inside=inside)


def fitted_budget(
    profile: Profile, drawn: MinimumDraws, method: Method, level: float | None
) -> BudgetFit:
    """The budget's optimum and its weight; no interval without a level."""
    kept = drawn.log_params[drawn.inside]
    log_n_opt = float(np.median(kept))
    floor = _STEP_SHARE * float(np.diff(profile.log_n).mean())
    share = float(drawn.inside.mean())
    interval = None
    if level is not None:
        interval = quantile_interval(np.exp(kept), level=level, method=NOISE_METHOD)
    return BudgetFit(
        flops=profile.flops,
        n_sizes=len(profile.log_n),
        n_runs=int(profile.repeats.sum()),
        params_opt=float(np.exp(log_n_opt)),
        tokens_opt=float(np.exp(np.interp(log_n_opt, profile.log_n, profile.log_d))),
        loss_opt=float(np.median(drawn.losses[drawn.inside])),
        # A minimum that only a share of the draws confirm counts for less: this reproduces the
        # spreads that Porian et al. publish with their optimal pairs.
        log_params_spread=max(float(kept.std()), floor) / share,
        params_interval=interval,
        params=np.exp(profile.log_n),
        tokens=np.exp(profile.log_d),
        losses=profile.loss,
        lost_share=1 - share,
        curve=minimum.CURVES[method](profile.log_n, profile.loss),
    )


def refused_budget(profile: Profile, reason: str) -> RefusedBudget:
    return RefusedBudget(
        flops=profile.flops, n_sizes=len(profile.log_n), n_runs=int(profile.repeats.sum()),
        reason=reason, params=np.exp(profile.log_n), losses=profile.loss,
    )  # fmt: skip
