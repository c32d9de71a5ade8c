"""HoldoutResult: how well each form of law predicted runs dearer than those it was fitted to."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from analysis.shown import Shown, as_html, flag_lines
from analysis.style import flops, number
from analysis.values import Flag


@dataclass(frozen=True, kw_only=True, slots=True)
class Split:
    """One cut in compute.

    Attributes:
        fitted_below_flops, predicted_from_flops: the cut with its gap.
        n_fitted, n_predicted, n_between: runs; those in the gap are in neither part.
    """

    fitted_below_flops: float
    predicted_from_flops: float
    n_fitted: int
    n_predicted: int
    n_between: int


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class HoldoutResult(Shown):
    """Errors of prediction per law and cut.

    Attributes:
        splits: the cuts that could be made; `skipped`: the others, with the reason.
        errors: one row per law and cut: law, cut (index of the split), error (mean of
            |predicted - loss| / loss), bias (mean of (predicted - loss) / loss), reason where a
            law could not be fitted.
        ranking: one row per law, best first: error and spread over the cuts, parameters.
        headline: the law with the lowest mean error, of those fitted at every cut.
        is_clear: whether the runner-up is worse at every cut, and by more than twice the standard
            error of the paired difference of the two over the predicted runs.
        predictions: one row per law, cut and predicted run: run_id, loss, predicted.
    """

    splits: tuple[Split, ...]
    skipped: tuple[str, ...]
    errors: pd.DataFrame
    ranking: pd.DataFrame
    headline: str
    is_clear: bool
    predictions: pd.DataFrame
    flags: tuple[Flag, ...]

    def summary(self) -> str:
        """Which law predicts best, the errors of all, and the flags."""
        laws = [f"  {' | '.join(row)}" for row in (_HEADS, *self._rows())]
        return "\n".join([*self._lines(), *laws, *flag_lines(self.flags)])

    def _lines(self) -> list[str]:
        best = self.ranking.iloc[0]
        lead = "best" if self.is_clear else "best, within the noise of the next"
        cuts = ", ".join(
            f"{s.n_fitted} runs fitted and {s.n_predicted} predicted from "
            f"{flops(s.predicted_from_flops)} FLOPs" for s in self.splits
        )  # fmt: skip
        return [
            f"Hold-out: the {self.headline} law predicts {lead}, missing by "
            f"{100 * best['error']:.2g} % on average",
            cuts,
            *self.skipped,
        ]

    def _rows(self) -> list[tuple[str, ...]]:
        reasons = self.errors[self.errors["reason"] != ""].groupby("law")["reason"].first()
        return [
            (str(row["law"]), str(row["parameters"]), number(100 * row["error"]),
             number(100 * row["spread"]), str(row["cuts"]), str(reasons.get(row["law"], "")))
            for row in self.ranking.to_dict("records")
        ]  # fmt: skip

    def _repr_html_(self) -> str:
        return as_html(self._lines(), heads=_HEADS, rows=self._rows(), flags=self.flags)


_HEADS = ("law", "parameters", "error, %", "spread over cuts, %", "cuts", "not fitted")
