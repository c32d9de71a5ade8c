"""Law: what the estimator needs to know of a scaling law.

A law is fitted in scaled coordinates: every axis is log(value / scale), with the geometric mean of
the runs as scale, so that the fit does not know the units of its columns. Its parameters are
amplitudes, which the loss is linear in and which are never negative (E first, where there is
one), followed by shapes (exponents and break points).

Array axes: M problems solved side by side, P parameters, K amplitudes, S shapes (K + S = P),
n runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
# role -> log(value / scale), [n]; u and d have one scale, so that D / U is a number of passes.
LogAxes = Mapping[str, Floats]
Scales = Mapping[str, float]  # role -> the value that counts as 1
Named = dict[str, Floats]  # name -> one value per problem, [M]

# Beyond this, exp() leaves the range of float64 in products.
MAX_LOG = 300.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Parameter:
    """A coordinate of the fit and its bounds; `grid` seeds the search over shapes."""

    name: str
    low: float
    high: float
    grid: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Quantity:
    """A number that is reported, with its unit in terms of the axes: `{n}^alpha * loss`."""

    name: str
    unit: str
    meaning: str
    is_positive_scale: bool = False  # a scale factor: intervals are made on its logarithm
    floor: float = 0.0  # no value below makes sense
    ceiling: float = np.inf  # nor above


@dataclass(frozen=True, kw_only=True, slots=True)
class Law:
    """One law.

    Attributes:
        axes: roles that the law reads, of n, d, c, u.
        parameters: amplitudes, then shapes.
        n_amplitudes: K.
        basis: shapes [M, S] -> terms [M, K, n] that the amplitudes multiply; used to find starts.
        model: parameters [M, P] -> loss [M, n] and its gradient [M, P, n].
        estimates, derived: what is reported, in order.
        report: parameters [M, P], scales -> every reported quantity [M] in the columns' units.
    """

    name: str
    title: str
    formula: str
    source: str
    axes: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    n_amplitudes: int
    basis: Callable[[Floats, LogAxes], Floats]
    model: Callable[[Floats, LogAxes], tuple[Floats, Floats]]
    estimates: tuple[Quantity, ...]
    derived: tuple[Quantity, ...]
    report: Callable[[Floats, Scales], Named]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(p.name for p in self.parameters)

    @property
    def low(self) -> Floats:
        return np.array([p.low for p in self.parameters])

    @property
    def high(self) -> Floats:
        return np.array([p.high for p in self.parameters])

    @property
    def shapes(self) -> tuple[Parameter, ...]:
        return self.parameters[self.n_amplitudes :]


def amplitude(name: str) -> Parameter:
    """A non-negative factor of a term."""
    return Parameter(name=name, low=0.0, high=np.inf)


def exponent(name: str, *, high: float = 4.0, n_grid: int = 20) -> Parameter:
    """A positive exponent, searched on a logarithmic grid over all published values."""
    grid = tuple(float(v) for v in np.geomspace(0.03, 2.0, n_grid))
    return Parameter(name=name, low=0.005, high=high, grid=grid)


def power(log_ratio: Floats, exponents: Floats) -> Floats:
    """(value / scale)^-exponent, [n] and [M] -> [M, n]."""
    return np.exp(np.clip(-exponents[:, None] * log_ratio, -MAX_LOG, MAX_LOG))


def safe_exp(log_value: Floats) -> Floats:
    """exp that gives inf in place of a warning."""
    return np.where(log_value < 709.0, np.exp(np.minimum(log_value, 709.0)), np.inf)


def safe_log(value: Floats) -> Floats:
    """log that gives -inf in place of a warning."""
    return np.where(value > 0, np.log(np.where(value > 0, value, 1.0)), -np.inf)
