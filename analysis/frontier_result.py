"""FrontierResult: the lower envelope of training curves and the exponents along it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.comparable import Basis
from analysis.power_line import on_line
from analysis.shown import Shown, as_html, flag_lines
from analysis.style import flops, printed
from analysis.values import Estimate, Flag

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class FrontierResult(Shown):
    """The envelope and the exponents of N*(C) and D*(C) along it.

    Attributes:
        exponents: `a` of N* and `b` of D*, with intervals over resampled runs.
        coefficients: `params_at_1`, `tokens_at_1`: N* = params_at_1 x C^a; their
            logarithms as `log_...`.
        points: see `analysis.envelope.Envelope`.
        basis: what makes the losses on it comparable; `left_out`: what was not taken.
        n_sizes: sizes on the part that the line is fitted through.
        flops_range: the FLOPs over which the line is fitted.
        variants: `smoothing` and `a`: what the number of averaged readings decides.
        draws: `a` and `b` per draw.
    """

    exponents: Mapping[str, Estimate]
    coefficients: Mapping[str, float]
    points: pd.DataFrame
    flops_range: tuple[float, float]
    basis: Basis
    left_out: tuple[str, ...]
    n_sizes: int
    smoothing: int
    variants: pd.DataFrame
    draws: Mapping[str, Floats]
    columns: Mapping[str, str]
    labels: Mapping[str, str]
    yardstick: str
    n_runs: int
    flags: tuple[Flag, ...]
    seed: int

    def params_opt(self, flops: float | Floats) -> Floats:
        """N* on the fitted line at a budget in FLOPs."""
        return on_line(self.coefficients, "params_at_1", self.exponents["a"].value, flops)

    def summary(self) -> str:
        """The exponents with intervals, how they were made, and the flags."""
        return "\n".join([*self._lines(), *flag_lines(self.flags)])

    def _lines(self) -> list[str]:
        low, high = self.flops_range
        return [
            f"Lower envelope of {self.n_runs} runs ({self.basis}), {self.yardstick}: "
            f"a = {printed(self.exponents['a'])}, b = {printed(self.exponents['b'])}",
            f"{flops(low)} to {flops(high)} FLOPs; N = {self.columns['n']}; {self.smoothing} "
            "readings averaged; bootstrap over runs",
        ]

    def _repr_html_(self) -> str:
        rows = [(f"{row.smoothing:g}", f"{row.a:.4g}") for row in self.variants.itertuples()]
        return as_html(self._lines(), heads=("readings averaged", "a"), rows=rows, flags=self.flags)
