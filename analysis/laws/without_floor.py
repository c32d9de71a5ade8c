"""Any law with E fixed to 0, for losses that have no floor: the excess over the Bayes optimum.

Where the text was drawn from a known distribution the best possible loss is a number, and the
excess over it falls to 0. E is then no parameter: fitting it would only widen every interval.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from analysis.laws.law import Floats, Law, LogAxes, Named, Scales

SUFFIX = "_without_floor"


def without_floor(law: Law) -> Law:
    """`law` without its first parameter, which must be E; the other columns keep their order."""
    assert law.parameters[0].name == "E", f"{law.name} has no floor"

    def with_zero(theta_MP: Floats) -> Floats:
        return np.hstack([np.zeros((len(theta_MP), 1)), theta_MP])

    def basis(shapes_MS: Floats, axes: LogAxes) -> Floats:
        return np.ascontiguousarray(law.basis(shapes_MS, axes)[:, 1:])

    def model(theta_MP: Floats, axes: LogAxes) -> tuple[Floats, Floats]:
        value, slope = law.model(with_zero(theta_MP), axes)
        return value, np.ascontiguousarray(slope[:, 1:])

    def report(theta_MP: Floats, scales: Scales) -> Named:
        named = law.report(with_zero(theta_MP), scales)
        return {name: value for name, value in named.items() if name != "E"}

    return dataclasses.replace(
        law,
        name=law.name + SUFFIX,
        formula=law.formula.replace("E + ", "", 1) + ", with E = 0",
        parameters=law.parameters[1:],
        n_amplitudes=law.n_amplitudes - 1,
        basis=basis, model=model, report=report,
        estimates=tuple(x for x in law.estimates if x.name != "E"),
    )  # fmt: skip
