"""Chinchilla: L = E + A / N^alpha + B / D^beta.

Hoffmann et al. 2022, arXiv:2203.15556, section 3.3; replicated by Besiroglu et al. 2024,
arXiv:2404.10102.
"""

from __future__ import annotations

import numpy as np

from analysis.laws.law import (
    Floats,
    Law,
    LogAxes,
    Named,
    Quantity,
    Scales,
    amplitude,
    exponent,
    power,
    safe_exp,
    safe_log,
)


def _basis(shapes_MS: Floats, axes: LogAxes) -> Floats:
    params = power(axes["n"], shapes_MS[:, 0])
    tokens = power(axes["d"], shapes_MS[:, 1])
    return np.stack([np.ones_like(params), params, tokens], axis=1)


def _model(theta_MP: Floats, axes: LogAxes) -> tuple[Floats, Floats]:
    n, d = axes["n"], axes["d"]
    gradient = np.empty((len(theta_MP), 5, n.size))
    gradient[:, 0] = 1.0
    gradient[:, 1] = power(n, theta_MP[:, 3])
    gradient[:, 2] = power(d, theta_MP[:, 4])
    by_params = theta_MP[:, 1, None] * gradient[:, 1]
    by_tokens = theta_MP[:, 2, None] * gradient[:, 2]
    gradient[:, 3] = -by_params * n
    gradient[:, 4] = -by_tokens * d
    return theta_MP[:, 0, None] + by_params + by_tokens, gradient


def _report(theta_MP: Floats, scales: Scales) -> Named:
    E, A, B, alpha, beta = theta_MP.T
    log_A = safe_log(A) + alpha * np.log(scales["n"])
    log_B = safe_log(B) + beta * np.log(scales["d"])
    return {
        "E": E, "A": safe_exp(log_A), "alpha": alpha, "B": safe_exp(log_B), "beta": beta,
        **compute_optimum(log_A, alpha, log_B, beta),
    }  # fmt: skip


def compute_optimum(log_A: Floats, alpha: Floats, log_B: Floats, beta: Floats) -> Named:
    """Exponents and coefficient of N_opt = G (C/6)^a, D_opt = (C/6)^b / G.

    Source: Hoffmann et al. 2022, equation 4.
    """
    with np.errstate(invalid="ignore"):
        log_ratio = np.log(alpha) + log_A - np.log(beta) - log_B
        G = safe_exp(log_ratio / (alpha + beta))
    return {"a": beta / (alpha + beta), "b": alpha / (alpha + beta), "G": G}


OPTIMUM = (
    Quantity(name="a", unit="1", meaning="exponent of N_opt over C", ceiling=1.0),
    Quantity(name="b", unit="1", meaning="exponent of D_opt over C", ceiling=1.0),
    Quantity(
        name="G", unit="{n} per (C/6)^a", meaning="coefficient: N_opt = G (C/6)^a",
        is_positive_scale=True,
    ),
)  # fmt: skip

LAW = Law(
    name="chinchilla",
    title="Chinchilla",
    formula="L = E + A / N^alpha + B / D^beta",
    source="Hoffmann et al. 2022, arXiv:2203.15556, section 3.3",
    axes=("n", "d"),
    parameters=(
        amplitude("E"), amplitude("A"), amplitude("B"), exponent("alpha"), exponent("beta"),
    ),
    n_amplitudes=3,
    basis=_basis,
    model=_model,
    estimates=(
        Quantity(name="E", unit="{loss}", meaning="loss that no size or data removes"),
        Quantity(name="A", unit="{loss} x {n}^alpha", meaning="weight of the size term",
                 is_positive_scale=True),
        Quantity(name="alpha", unit="1", meaning="exponent of size"),
        Quantity(name="B", unit="{loss} x {d}^beta", meaning="weight of the data term",
                 is_positive_scale=True),
        Quantity(name="beta", unit="1", meaning="exponent of data"),
    ),
    derived=OPTIMUM,
    report=_report,
)  # fmt: skip
