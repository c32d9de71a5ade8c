"""One smoothly broken power law of compute: L = E + k C^-c0 (1 + (C/C_b)^(1/f))^(-c1 f).

The broken neural scaling law with one break: Caballero et al. 2023, arXiv:2210.14891, equation 1.
The slope goes from c0 to c0 + c1 around C_b, over a width of f on the logarithm of C.
"""

from __future__ import annotations

import numpy as np

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


def _soft_step(log_break: Floats, log_width: Floats, axes: LogAxes) -> tuple[Floats, ...]:
    """Distance to the break in widths, its soft plus, and the width; each [M, n] or [M, 1]."""
    width = np.exp(log_width)[:, None]
    distance = (axes["c"] - log_break[:, None]) / width
    return distance, np.logaddexp(0.0, distance), width


def _log_term(shapes_MS: Floats, axes: LogAxes) -> Floats:
    c0, c1, log_break, log_width = shapes_MS.T
    _, plus, width = _soft_step(log_break, log_width, axes)
    log_term = -c0[:, None] * axes["c"] - c1[:, None] * width * plus
    return np.asarray(np.clip(log_term, -MAX_LOG, MAX_LOG))


def _basis(shapes_MS: Floats, axes: LogAxes) -> Floats:
    term = np.exp(_log_term(shapes_MS, axes))
    return np.stack([np.ones_like(term), term], axis=1)


def _model(theta_MP: Floats, axes: LogAxes) -> tuple[Floats, Floats]:
    shapes = theta_MP[:, 2:]
    c1 = shapes[:, 1, None]
    distance, plus, width = _soft_step(shapes[:, 2], shapes[:, 3], axes)
    after = np.exp(distance - plus)  # the sigmoid, without overflow
    slope = np.empty((len(theta_MP), 6, axes["c"].size))
    slope[:, 0] = 1.0
    slope[:, 1] = np.exp(_log_term(shapes, axes))
    term = theta_MP[:, 1, None] * slope[:, 1]
    slope[:, 2] = -term * axes["c"]
    slope[:, 3] = -term * width * plus
    slope[:, 4] = term * c1 * after
    slope[:, 5] = -term * c1 * width * (plus - after * distance)
    return theta_MP[:, 0, None] + term, slope


def _report(theta_MP: Floats, scales: Scales) -> Named:
    E, k, c0, c1, log_break, log_width = theta_MP.T
    log_scale = np.log(scales["c"])
    return {
        "E": E, "k": safe_exp(safe_log(k) + c0 * log_scale), "c0": c0, "c1": c1,
        "C_b": safe_exp(log_break + log_scale), "f": np.exp(log_width), "c_after": c0 + c1,
    }  # fmt: skip


LAW = Law(
    name="broken_power",
    title="one broken power law",
    formula="L = E + k C^-c0 (1 + (C / C_b)^(1/f))^(-c1 f)",
    source="Caballero et al. 2023, arXiv:2210.14891, equation 1, one break",
    axes=("c",),
    parameters=(
        amplitude("E"), amplitude("k"), exponent("c0", n_grid=8),
        Parameter(name="c1", low=-4.0, high=4.0, grid=(-0.5, -0.2, -0.05, 0.05, 0.2, 0.5, 1.0)),
        Parameter(name="log_break", low=-40.0, high=40.0,
                  grid=(-6.0, -4.0, -2.0, -1.0, 0.0, 1.0, 2.0, 4.0, 6.0)),
        Parameter(name="log_width", low=-4.0, high=2.0, grid=(-1.5, 0.0)),
    ),
    n_amplitudes=2,
    basis=_basis,
    model=_model,
    estimates=(
        Quantity(name="E", unit="{loss}", meaning="loss that no compute removes"),
        Quantity(name="k", unit="{loss} x {c}^c0", meaning="weight of the compute term",
                 is_positive_scale=True),
        Quantity(name="c0", unit="1", meaning="exponent before the break"),
        Quantity(name="c1", unit="1", meaning="change of the exponent at the break",
                 floor=-np.inf),
        Quantity(name="C_b", unit="{c}", meaning="compute at the break", is_positive_scale=True),
        Quantity(name="f", unit="ln {c}", meaning="width of the break", is_positive_scale=True),
    ),
    derived=(
        Quantity(name="c_after", unit="1", meaning="exponent after the break", floor=-np.inf),
    ),
    report=_report,
)  # fmt: skip
