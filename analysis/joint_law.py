"""A law for several groups at once, some parameters shared and some own per group.

Array axes: M problems, P parameters of the joint law, Q of the base law, G groups, n runs.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from analysis.laws.law import Floats, Law, LogAxes


def joint_law(base: Law, n_groups: int, own: tuple[str, ...]) -> Law:
    """`base` with an own copy per group of the parameters in `own`.

    Its axes are those of `base` and `group`, the number of each run's group. Parameters stand in
    the order of `base`, the copies of one beside each other. It is polished from given starts and
    has no basis to search with.
    """
    columns = parameter_columns(base, n_groups, own)

    def model(theta_MP: Floats, axes: LogAxes) -> tuple[Floats, Floats]:
        group = axes["group"]
        value = np.empty((len(theta_MP), group.size))
        gradient = np.zeros((len(theta_MP), theta_MP.shape[1], group.size))
        for index, chosen in enumerate(columns):
            rows = np.flatnonzero(group == index)
            some = {role: axes[role][rows] for role in base.axes}
            part, slope = base.model(theta_MP[:, chosen], some)
            value[:, rows] = part
            gradient[:, chosen[:, None], rows] = slope
        return value, gradient

    copies = [n_groups if name in own else 1 for name in base.names]
    parameters = tuple(
        dataclasses.replace(parameter, name=f"{parameter.name}{i}" if n > 1 else parameter.name)
        for parameter, n in zip(base.parameters, copies, strict=True)
        for i in range(n)
    )
    return dataclasses.replace(
        base,
        name=f"{base.name} x {n_groups}",
        axes=(*base.axes, "group"),
        parameters=parameters,
        n_amplitudes=sum(copies[: base.n_amplitudes]),
        model=model,
    )


def parameter_columns(base: Law, n_groups: int, own: tuple[str, ...]) -> list[NDArray[np.intp]]:
    """For each group, where its Q parameters stand among the P of the joint law."""
    columns: list[list[int]] = [[] for _ in range(n_groups)]
    position = 0
    for name in base.names:
        for group in range(n_groups):
            columns[group].append(position + (group if name in own else 0))
        position += n_groups if name in own else 1
    return [np.array(chosen) for chosen in columns]


def split_parameters(base: Law, n_groups: int, own: tuple[str, ...], theta: Floats) -> list[Floats]:
    """The parameters [P] of a joint law as Q per group."""
    return [theta[chosen] for chosen in parameter_columns(base, n_groups, own)]
