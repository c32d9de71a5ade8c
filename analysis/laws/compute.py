"""Compute only: L = E + k C^-gamma, for runs on one path through size and data.

Hestness et al. 2017, arXiv:1712.00409, section 3; Kaplan et al. 2020 without E.
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
    term = power(axes["c"], shapes_MS[:, 0])
    return np.stack([np.ones_like(term), term], axis=1)


def _model(theta_MP: Floats, axes: LogAxes) -> tuple[Floats, Floats]:
    slope = np.empty((len(theta_MP), 3, axes["c"].size))
    slope[:, 0] = 1.0
    slope[:, 1] = power(axes["c"], theta_MP[:, 2])
    term = theta_MP[:, 1, None] * slope[:, 1]
    slope[:, 2] = -term * axes["c"]
    return theta_MP[:, 0, None] + term, slope


def _report(theta_MP: Floats, scales: Scales) -> Named:
    E, k, gamma = theta_MP.T
    return {"E": E, "k": safe_exp(safe_log(k) + gamma * np.log(scales["c"])), "gamma": gamma}


LAW = Law(
    name="compute",
    title="compute only",
    formula="L = E + k C^-gamma",
    source="Hestness et al. 2017, arXiv:1712.00409, section 3",
    axes=("c",),
    parameters=(amplitude("E"), amplitude("k"), exponent("gamma", n_grid=60)),
    n_amplitudes=2,
    basis=_basis,
    model=_model,
    estimates=(
        Quantity(name="E", unit="{loss}", meaning="loss that no compute removes"),
        Quantity(name="k", unit="{loss} x {c}^gamma", meaning="weight of the compute term",
                 is_positive_scale=True),
        Quantity(name="gamma", unit="1", meaning="exponent of compute"),
    ),
    derived=(),
    report=_report,
)  # fmt: skip
