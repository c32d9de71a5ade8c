"""Data-constrained: Chinchilla with repeated tokens and excess parameters worth less and less.

L = E + A / N'^alpha + B / D'^beta, with U unique tokens,
D' = U + U R_D (1 - exp(-(D/U - 1) / R_D)) and, with U_N the parameters that are compute-optimal
for U tokens (at most N), N' = U_N + U_N R_N (1 - exp(-(N/U_N - 1) / R_N)).

Muennighoff et al. 2023, arXiv:2305.16264, section 3.1, equations 5 and 6. R_D and R_N are fitted on
logarithms; R_D at its upper bound says that repeats are as good as new tokens.
"""

from __future__ import annotations

import numpy as np

from analysis.laws import chinchilla
from analysis.laws.law import (
    MAX_LOG,
    Floats,
    Law,
    LogAxes,
    Named,
    Parameter,
    Quantity,
    Scales,
    exponent,
)

# Amplitudes in units of the mean loss; the optimal size for U tokens needs both above 0.
_SMALLEST = 1e-9


def _discounted(surplus: Floats, rate: Floats) -> tuple[Floats, Floats, Floats]:
    """Value of `surplus` repeats: rate (1 - exp(-surplus/rate)); its slopes over both."""
    ratio = np.minimum(surplus / rate, MAX_LOG)
    left = np.exp(-ratio)
    gain = -np.expm1(-ratio)
    return rate * gain, left, gain - left * ratio


def _effective_tokens(log_R_D: Floats, axes: LogAxes) -> tuple[Floats, Floats]:
    """log D' and its slope over log R_D, [M, n]."""
    log_unique = np.minimum(axes["u"], axes["d"])
    repeats = np.expm1(axes["d"] - log_unique)
    rate = np.exp(log_R_D)[:, None]
    worth, _, over_rate = _discounted(repeats, rate)
    return log_unique + np.log1p(worth), rate * over_rate / (1.0 + worth)


def _basis(shapes_MS: Floats, axes: LogAxes) -> Floats:
    """Terms with N' = N: the amplitudes are enough for a start."""
    alpha, beta, log_R_D, _ = shapes_MS.T
    log_tokens, _ = _effective_tokens(log_R_D, axes)
    tokens = np.exp(np.clip(-beta[:, None] * log_tokens, -MAX_LOG, MAX_LOG))
    params = np.exp(np.clip(-alpha[:, None] * axes["n"], -MAX_LOG, MAX_LOG))
    return np.stack([np.ones_like(params), params, tokens], axis=1)


def _model(theta_MP: Floats, axes: LogAxes) -> tuple[Floats, Floats]:
    E, A, B, alpha, beta, log_R_D, log_R_N = (column[:, None] for column in theta_MP.T)
    log_tokens, tokens_over_rate = _effective_tokens(log_R_D[:, 0], axes)
    log_unique = np.minimum(axes["u"], axes["d"])
    A, B = np.maximum(A, _SMALLEST), np.maximum(B, _SMALLEST)
    log_optimal = (np.log(alpha * A) - np.log(beta * B) + beta * log_unique) / alpha
    log_optimal = np.clip(log_optimal, -MAX_LOG, MAX_LOG)
    log_base = np.minimum(axes["n"], log_optimal)
    is_excess = log_optimal < axes["n"]
    excess = np.expm1(np.minimum(axes["n"] - log_base, MAX_LOG))
    rate = np.exp(log_R_N)
    worth, left, over_rate = _discounted(excess, rate)
    log_params = log_base + np.log1p(worth)
    # Slope of log N' over log U_N; over U_N itself it acts through alpha, beta, A and B.
    over_base = np.where(is_excess, 1.0 - left * (1.0 + excess) / (1.0 + worth), 0.0)

    slope = np.empty((len(theta_MP), 7, axes["n"].size))
    slope[:, 0] = 1.0
    slope[:, 1] = np.exp(np.clip(-alpha * log_params, -MAX_LOG, MAX_LOG))
    slope[:, 2] = np.exp(np.clip(-beta * log_tokens, -MAX_LOG, MAX_LOG))
    by_params, by_tokens = A * slope[:, 1], B * slope[:, 2]
    through_base = -alpha * by_params * over_base
    slope[:, 1] += through_base / (alpha * A)
    slope[:, 2] -= through_base / (alpha * B)
    slope[:, 3] = -by_params * log_params + through_base * (1.0 / alpha - log_optimal) / alpha
    slope[:, 4] = -by_tokens * log_tokens + through_base * (log_unique - 1.0 / beta) / alpha
    slope[:, 5] = -beta * by_tokens * tokens_over_rate
    slope[:, 6] = -alpha * by_params * np.where(is_excess, rate * over_rate / (1.0 + worth), 0.0)
    return E + by_params + by_tokens, slope


def _report(theta_MP: Floats, scales: Scales) -> Named:
    named = chinchilla.LAW.report(theta_MP[:, :5], scales)
    # U is in the unit of D, so that D/U is a number of passes.
    return {**named, "R_D": np.exp(theta_MP[:, 5]), "R_N": np.exp(theta_MP[:, 6])}


def _decay(name: str, grid: tuple[float, ...]) -> Parameter:
    return Parameter(name=name, low=float(np.log(0.05)), high=float(np.log(1e4)), grid=grid)


LAW = Law(
    name="data_constrained",
    title="data-constrained",
    formula="L = E + A / N'^alpha + B / D'^beta, D' = U + U R_D (1 - exp(-(D/U - 1)/R_D))",
    source="Muennighoff et al. 2023, arXiv:2305.16264, section 3.1",
    axes=("n", "d", "u"),
    parameters=(
        Parameter(name="E", low=0.0, high=np.inf),
        Parameter(name="A", low=_SMALLEST, high=np.inf),
        Parameter(name="B", low=_SMALLEST, high=np.inf),
        exponent("alpha", n_grid=9), exponent("beta", n_grid=9),
        _decay("log_R_D", tuple(float(v) for v in np.log([0.3, 1.0, 3.0, 10.0, 30.0, 300.0]))),
        _decay("log_R_N", tuple(float(v) for v in np.log([1.0, 10.0]))),
    ),
    n_amplitudes=3,
    basis=_basis,
    model=_model,
    estimates=(
        *chinchilla.LAW.estimates,
        Quantity(name="R_D", unit="passes", meaning="passes after which repeats lose value",
                 is_positive_scale=True),
        Quantity(name="R_N", unit="1", meaning="excess size, in units of the optimal, after which "
                 "more parameters lose value", is_positive_scale=True),
    ),
    derived=chinchilla.OPTIMUM,
    report=_report,
)  # fmt: skip
