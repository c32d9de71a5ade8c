"""Tied: L = E + A / N^alpha + B / D^alpha, one exponent for size and data.

The form of Gadre et al. 2024, arXiv:2403.08540, equation 4, where the loss is a power law of
compute at every fixed number of tokens per parameter; it makes a = b = 1/2.
"""

from __future__ import annotations

import numpy as np

from analysis.laws import chinchilla
from analysis.laws.law import Floats, Law, LogAxes, Named, Quantity, Scales, amplitude, exponent


def _both_exponents(theta_MP: Floats) -> Floats:
    """E, A, B, alpha -> E, A, B, alpha, beta = alpha."""
    return theta_MP[:, [0, 1, 2, 3, 3]]


def _basis(shapes_MS: Floats, axes: LogAxes) -> Floats:
    return chinchilla.LAW.basis(shapes_MS[:, [0, 0]], axes)


def _model(theta_MP: Floats, axes: LogAxes) -> tuple[Floats, Floats]:
    value, slope = chinchilla.LAW.model(_both_exponents(theta_MP), axes)
    slope[:, 3] += slope[:, 4]
    return value, np.ascontiguousarray(slope[:, :4])


def _report(theta_MP: Floats, scales: Scales) -> Named:
    named = chinchilla.LAW.report(_both_exponents(theta_MP), scales)
    del named["beta"]
    return named


LAW = Law(
    name="tied",
    title="tied exponents",
    formula="L = E + A / N^alpha + B / D^alpha",
    source="Gadre et al. 2024, arXiv:2403.08540, equation 4",
    axes=("n", "d"),
    parameters=(amplitude("E"), amplitude("A"), amplitude("B"), exponent("alpha")),
    n_amplitudes=3,
    basis=_basis,
    model=_model,
    estimates=(
        Quantity(name="E", unit="{loss}", meaning="loss that no size or data removes"),
        Quantity(name="A", unit="{loss} x {n}^alpha", meaning="weight of the size term",
                 is_positive_scale=True),
        Quantity(name="B", unit="{loss} x {d}^alpha", meaning="weight of the data term",
                 is_positive_scale=True),
        Quantity(name="alpha", unit="1", meaning="exponent of size and of data"),
    ),
    derived=chinchilla.OPTIMUM,
    report=_report,
)  # fmt: skip
