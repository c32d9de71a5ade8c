"""FitResult: what a fit found, how sure it is, and what a reader must know before quoting it.

Columns carry their convention (params_total or params_non_embedding, exact FLOPs or 6ND), and
every label, unit and sentence made from a result repeats it (Porian et al. 2024,
arXiv:2406.19146: the convention alone moves the exponent of N_opt by 0.3).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
from numpy.typing import ArrayLike

from analysis import predict, summary
from analysis.errors import AnalysisError
from analysis.laws import FITTED
from analysis.shown import Shown
from analysis.values import (
    Axis,
    Estimate,
    Flag,
    Floats,
    Interval,
    Optimum,
    Prediction,
    Severity,
    Status,
)

__all__ = [
    "Axis", "Estimate", "FitResult", "Flag", "Floats", "Interval", "Optimum", "Prediction",
    "Severity", "Status",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class FitResult(Shown):
    """A fitted law with its uncertainty, its rows and its warnings.

    Attributes:
        law, formula, source: key in `analysis.laws.LAWS`, its formula, its paper.
        axes: role -> Axis (`n`, `d`, `c`, `u` as the law has them, and `loss`): column, unit,
            range of the runs used.
        objective, delta: what was minimised; `delta` in units of log loss, None for l1 and ls.
        objective_value: SUM over runs at the optimum.
        estimates: name -> Estimate, the parameters of the law in the units of the columns.
        derived: name -> Estimate; for laws in N and D: `a`, `b`, `G` (N_opt = G (C/6)^a).
        used: one row per run in the order of the table: `run`, the axes by role, `loss`,
            `fitted`, `residual` (log loss - log fitted), `weight`, `cluster`.
        excluded: one row per run that did not enter: `run` and `reason`.
        n_clusters, cluster: distinct clusters behind the intervals, and what one is.
        start_share, n_starts: share of the polished starts that reached the optimum.
        gradient_norm: norm of the gradient of the objective per unit weight, in coordinates
            without units (parameters on a bound left out).
        start, end: parameters at the best start before polishing, and after.
        bounds_touched: such as "E = 0 (lower)".
        condition_number: of the scaled Jacobian at the optimum, parameters on a bound left out.
        delta_sensitivity: rows (delta, then each parameter and `a`): the fit under other deltas.
        noise: standard deviation of log loss by level: "run", and "size" (or the cluster) where
            residuals of one cluster move together.
        theta, draws: the parameters in the law's scaled coordinates [P], and their bootstrap
            draws [n_draws, P]; `scales` lead back (role -> geometric mean).
        flags, status: `ok`; `flagged` (a warning to be read first); `failed` (do not quote).
    """

    law: str
    formula: str
    source: str
    axes: Mapping[str, Axis]
    objective: str
    delta: float | None
    objective_value: float
    estimates: Mapping[str, Estimate]
    derived: Mapping[str, Estimate]
    used: pd.DataFrame
    excluded: pd.DataFrame
    cluster: str
    n_clusters: int
    start_share: float
    n_starts: int
    gradient_norm: float
    start: Mapping[str, float]
    end: Mapping[str, float]
    bounds_touched: tuple[str, ...]
    condition_number: float
    delta_sensitivity: pd.DataFrame
    noise: Mapping[str, float]
    theta: Floats
    draws: Floats | None
    draws_method: str | None
    draws_stretch: float
    scales: Mapping[str, float]
    flags: tuple[Flag, ...]
    status: Status
    seed: int

    @property
    def n_runs(self) -> int:
        return len(self.used)

    @property
    def label(self) -> str:
        """Law and convention: `Chinchilla (N = params_non_embedding)`."""
        shown = (f"{role.upper()} = {self.axes[role].column}" for role in ("n", "c")
                 if role in FITTED[self.law].axes)  # fmt: skip
        return f"{FITTED[self.law].title} ({', '.join(shown)})"

    @property
    def residuals(self) -> Floats:
        """log loss - log fitted [runs used]."""
        return self.used["residual"].to_numpy(dtype=float)

    def value(self, name: str) -> float:
        """A parameter or derived number by name.

        Raises:
            AnalysisError: the law has no such number.
        """
        return self.estimate(name).value

    def estimate(self, name: str) -> Estimate:
        """A parameter or derived number with its intervals.

        Raises:
            AnalysisError: the law has no such number.
        """
        both = {**self.estimates, **self.derived}
        if name not in both:
            raise AnalysisError(f"{self.law!r} has no {name!r}; it has {', '.join(both)}")
        return both[name]

    def predict(
        self,
        n: ArrayLike | None = None,
        d: ArrayLike | None = None,
        *,
        c: ArrayLike | None = None,
        u: ArrayLike | None = None,
    ) -> Floats:
        """Predicted loss at params `n` and tokens `d` (flops `c`, unique tokens `u`).

        Shapes broadcast; units are those of the fitted columns.

        Raises:
            AnalysisError: an axis of the law is missing or not positive.
        """
        return predict.point(self, {"n": n, "d": d, "c": c, "u": u})

    def predict_interval(
        self,
        n: ArrayLike | None = None,
        d: ArrayLike | None = None,
        *,
        c: ArrayLike | None = None,
        u: ArrayLike | None = None,
        level: float = 0.95,
    ) -> Prediction:
        """`predict` with pointwise intervals of the curve from the bootstrap draws."""
        return predict.with_interval(self, {"n": n, "d": d, "c": c, "u": u}, level=level)

    def optimal(
        self,
        flops: float,
        *,
        train_flops: Callable[[Floats, Floats], Floats] | None = None,
        unique_tokens: float | None = None,
        level: float = 0.95,
    ) -> Optimum:
        """N*, D* and loss at a budget; C = 6 N D unless `train_flops(n, d)` is given.

        Args:
            flops: the budget.
            train_flops: FLOPs of params [k] and tokens [k], growing in both.
            unique_tokens: tokens in the data set, for a law that knows repeats.
        Raises:
            AnalysisError: the law has no N and D, or `flops` is not positive.
        """
        return predict.optimum(
            self, flops, train_flops=train_flops, unique_tokens=unique_tokens, level=level
        )

    def summary(self) -> str:
        """A page of text: the numbers, how they were made, the flags."""
        return summary.as_text(self)

    def raise_for_status(self) -> FitResult:
        """Returns itself, or raises AnalysisError if the fit failed."""
        if self.status == "failed":
            why = "; ".join(f.message for f in self.flags if f.severity == "failure")
            raise AnalysisError(f"the {self.law} fit of {self.n_runs} runs failed: {why}")
        return self

    def to_dict(self) -> dict[str, Any]:
        """Everything but the draws, JSON-able; a number that is not finite becomes None."""
        return summary.as_dict(self)

    def __repr__(self) -> str:
        numbers = ", ".join(
            f"{name} {estimate.value:.4g}"
            for name, estimate in {**self.estimates, **self.derived}.items()
        )
        return f"<FitResult {self.law}, {self.n_runs} runs, {self.status}: {numbers}>"

    def _repr_html_(self) -> str:
        return summary.as_html(self)
