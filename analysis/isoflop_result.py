"""IsoflopResult: the profiles of a sweep's budgets and the exponents through their minima."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.noise import Noise
from analysis.power_line import on_line
from analysis.shown import Shown, as_html, flag_lines
from analysis.style import count, flops, number, printed
from analysis.values import Estimate, Flag, Interval

Floats = NDArray[np.float64]
Method = Literal["parabola", "akima"]


@dataclass(frozen=True, kw_only=True, slots=True)
class BudgetFit:
    """The profile of one budget.

    Attributes:
        flops: the budget. n_sizes, n_runs: distinct sizes, and runs with repeats.
        params_opt, tokens_opt, loss_opt: at the minimum, the median over the draws of the noise.
        log_params_spread: standard deviation of log N* over the draws, floored; its inverse
            square is the weight of the budget.
        params, tokens, losses: the points behind it, repeats averaged [n_sizes].
        lost_share: share of the draws that had no minimum inside the sizes.
        curve: log N -> loss, the fitted profile.
    """

    flops: float
    n_sizes: int
    n_runs: int
    params_opt: float
    tokens_opt: float
    loss_opt: float
    log_params_spread: float
    params_interval: Interval | None
    params: Floats
    tokens: Floats
    losses: Floats
    lost_share: float
    curve: Callable[[Floats], Floats]


@dataclass(frozen=True, kw_only=True, slots=True)
class RefusedBudget:
    """A budget without a usable minimum, and why; its points are kept for the figure."""

    flops: float
    n_sizes: int
    n_runs: int
    reason: str
    params: Floats
    losses: Floats


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class IsoflopResult(Shown):
    """The exponents of N*(C) and D*(C) and the profiles behind them.

    Attributes:
        exponents: `a` of N* and `b` of D*.
        coefficients: `params_at_1` and `tokens_at_1`: N* = params_at_1 x C^a; their
            logarithms as `log_...`.
        noise: standard deviation of the loss of a run and where it was taken from.
        draws: `a` and `b` per draw of the two-level bootstrap.
        columns, labels: as in the table: the convention of N, D, C and the yardstick.
    """

    method: Method
    budgets: tuple[BudgetFit, ...]
    refused: tuple[RefusedBudget, ...]
    exponents: dict[str, Estimate]
    coefficients: dict[str, float]
    noise: Noise
    draws: dict[str, Floats]
    columns: dict[str, str]
    labels: dict[str, str]
    yardstick: str
    n_runs: int
    flags: tuple[Flag, ...]
    seed: int

    def params_opt(self, flops: float | Floats) -> Floats:
        """N* on the fitted line at a budget in FLOPs."""
        return on_line(self.coefficients, "params_at_1", self.exponents["a"].value, flops)

    def tokens_opt(self, flops: float | Floats) -> Floats:
        """D* on the fitted line at a budget in FLOPs."""
        return on_line(self.coefficients, "tokens_at_1", self.exponents["b"].value, flops)

    def frame(self) -> pd.DataFrame:
        """One row per budget, used or refused."""
        used = [
            {"budget_flops": b.flops, "sizes": b.n_sizes, "runs": b.n_runs,
             "params_opt": b.params_opt, "tokens_opt": b.tokens_opt, "loss_opt": b.loss_opt,
             "log_params_spread": b.log_params_spread, "reason": ""}
            for b in self.budgets
        ]  # fmt: skip
        refused = [
            {"budget_flops": b.flops, "sizes": b.n_sizes, "runs": b.n_runs, "reason": b.reason}
            for b in self.refused
        ]
        frame = pd.DataFrame([*used, *refused])
        return frame.sort_values("budget_flops", ignore_index=True)

    def summary(self) -> str:
        """The exponents with intervals, the minimum of each budget, and the flags."""
        budgets = [f"  {' | '.join(row)}" for row in (_HEADS, *self._rows())]
        return "\n".join([*self._lines(), *budgets, *flag_lines(self.flags)])

    def _lines(self) -> list[str]:
        noise = "unknown" if self.noise.nats is None else f"{self.noise.nats:.2g} in loss"
        return [
            f"IsoFLOP minima ({self.method}), {self.yardstick}: "
            f"a = {printed(self.exponents['a'])}, b = {printed(self.exponents['b'])}",
            f"{self.n_runs} runs; {len(self.budgets)} budgets with a minimum, "
            f"{len(self.refused)} refused; N = {self.columns['n']}, C = {self.columns['c']}; "
            f"noise of a run: {noise}, {self.noise.source}",
        ]

    def _rows(self) -> list[tuple[str, ...]]:
        rows = {
            b.flops: (flops(b.flops), str(b.n_sizes), count(b.params_opt), count(b.tokens_opt),
                      number(b.loss_opt, 4))
            for b in self.budgets
        }  # fmt: skip
        rows |= {
            b.flops: (flops(b.flops), str(b.n_sizes), "refused", "", b.reason) for b in self.refused
        }
        return [rows[budget] for budget in sorted(rows)]

    def _repr_html_(self) -> str:
        return as_html(self._lines(), heads=_HEADS, rows=self._rows(), flags=self.flags)


_HEADS = ("budget, FLOPs", "sizes", "N*", "D*", "loss")
