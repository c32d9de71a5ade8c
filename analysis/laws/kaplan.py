"""Kaplan's coupled form with a floor: L = E + ((N_c/N)^(alpha_N/alpha_D) + D_c/D)^alpha_D.

Kaplan et al. 2020, arXiv:2001.08361, equation 1.5, which has no E; with it the form holds out
best of those compared on small tables. Size and data trade off inside one power.
"""

from __future__ import annotations

import numpy as np

from analysis.laws.chinchilla import OPTIMUM, compute_optimum
from analysis.laws.law import (
    MAX_LOG,
    Floats,
    Law,
    LogAxes,
    Named,
    Parameter,
    Quantity,
    Scales,
    amplitude,
    exponent,
    safe_exp,
    safe_log,
)


def _bracket(shapes_MS: Floats, axes: LogAxes) -> tuple[Floats, Floats]:
    """log of the bracket, and the share of its size term; each [M, n].

    In scaled coordinates the bracket is mix x N^(-alpha_N/alpha_D) + 1/D.
    """
    alpha_N, alpha_D, log_mix = shapes_MS.T
    by_params = log_mix[:, None] - (alpha_N / alpha_D)[:, None] * axes["n"]
    by_params = np.clip(by_params, -MAX_LOG, MAX_LOG)
    both = np.logaddexp(by_params, -axes["d"])
    return both, np.exp(by_params - both)


def _basis(shapes_MS: Floats, axes: LogAxes) -> Floats:
    log_bracket, _ = _bracket(shapes_MS, axes)
    term = np.exp(np.clip(shapes_MS[:, 1, None] * log_bracket, -MAX_LOG, MAX_LOG))
    return np.stack([np.ones_like(term), term], axis=1)


def _model(theta_MP: Floats, axes: LogAxes) -> tuple[Floats, Floats]:
    E, K, alpha_N, alpha_D, _ = theta_MP.T
    log_bracket, share = _bracket(theta_MP[:, 2:], axes)
    slope = np.empty((len(theta_MP), 5, axes["n"].size))
    slope[:, 0] = 1.0
    slope[:, 1] = np.exp(np.clip(alpha_D[:, None] * log_bracket, -MAX_LOG, MAX_LOG))
    term = K[:, None] * slope[:, 1]
    by_params = term * share
    slope[:, 2] = -by_params * axes["n"]
    slope[:, 3] = term * log_bracket - slope[:, 2] * (alpha_N / alpha_D)[:, None]
    slope[:, 4] = alpha_D[:, None] * by_params
    return E[:, None] + term, slope


def _report(theta_MP: Floats, scales: Scales) -> Named:
    E, K, alpha_N, alpha_D, log_mix = theta_MP.T
    ratio = alpha_N / alpha_D
    log_scale = safe_log(K) / alpha_D
    log_D_c = np.log(scales["d"]) + log_scale
    log_N_c = np.log(scales["n"]) + (log_scale + log_mix) / ratio
    return {
        "E": E, "N_c": safe_exp(log_N_c), "alpha_N": alpha_N,
        "D_c": safe_exp(log_D_c), "alpha_D": alpha_D,
        **compute_optimum(ratio * log_N_c, ratio, log_D_c, np.ones_like(ratio)),
    }  # fmt: skip


LAW = Law(
    name="kaplan",
    title="Kaplan, coupled",
    formula="L = E + ((N_c / N)^(alpha_N / alpha_D) + D_c / D)^alpha_D",
    source="Kaplan et al. 2020, arXiv:2001.08361, equation 1.5, with E added",
    axes=("n", "d"),
    parameters=(
        amplitude("E"), amplitude("K"),
        exponent("alpha_N", high=2.0, n_grid=9), exponent("alpha_D", high=2.0, n_grid=9),
        Parameter(name="log_mix", low=-60.0, high=60.0,
                  grid=(-6.0, -3.0, -1.0, 0.0, 1.0, 3.0, 6.0)),
    ),
    n_amplitudes=2,
    basis=_basis,
    model=_model,
    estimates=(
        Quantity(name="E", unit="{loss}", meaning="loss that no size or data removes"),
        Quantity(name="N_c", unit="{n}", meaning="scale of size", is_positive_scale=True),
        Quantity(name="alpha_N", unit="1", meaning="exponent of size"),
        Quantity(name="D_c", unit="{d}", meaning="scale of data", is_positive_scale=True),
        Quantity(name="alpha_D", unit="1", meaning="exponent of data"),
    ),
    derived=OPTIMUM,
    report=_report,
)  # fmt: skip
