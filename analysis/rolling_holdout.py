"""Hold-out rolling in compute: fit the cheap runs, predict the dear ones, for each form of law.

A form is chosen by how well it predicts above the compute it was fitted to, the use that a scaling
law is put to. No form wins everywhere, so the ranking is per table (see
docs/decisions/comparison.md).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.errors import AnalysisError
from analysis.fit import Objective, fit_law
from analysis.holdout_result import HoldoutResult, Split
from analysis.laws import LAWS, law_for
from analysis.style import flops
from analysis.table import Table
from analysis.values import Flag

Floats = NDArray[np.float64]

LAWS_TRIED = ("chinchilla", "tied", "kaplan", "compute")
# Quantiles of log C from which runs are predicted.
CUTS = (0.6, 0.7, 0.8)
# Fitted runs spend at most this share of the cheapest predicted one: prediction, not interpolation.
GAP = 0.5
_MIN_PREDICTED = 3
# Runs of one budget differ by whole batches of tokens.
_SAME_BUDGET = 0.01


def holdout(
    table: Table,
    *,
    laws: Sequence[str] = LAWS_TRIED,
    cuts: Sequence[float] = CUTS,
    gap: float = GAP,
    objective: Objective = "huber",
) -> HoldoutResult:
    """Predicts the runs above each cut from those below.

    Args:
        table: runs of one group on one yardstick.
        laws: keys of `analysis.laws.LAWS`.
        cuts: quantiles of C from which runs are predicted.
        gap: runs are fitted up to this share of the FLOPs at the cut.
    Raises:
        AnalysisError: no cut leaves enough runs on both sides, or no law can be fitted.

    >>> from analysis import holdout, load_table
    >>> from analysis.examples import planted_runs
    >>> result = holdout(load_table(planted_runs()), laws=("chinchilla", "compute"))
    >>> result.headline, result.is_clear
    ('chinchilla', True)
    """
    _check(table, laws)
    need = max(len(law_for(law, table.columns["loss"]).parameters) for law in laws) + 1
    cut_tables, skipped = _cuts(table, cuts, gap, need)
    rows: list[dict[str, object]] = []
    predictions: list[pd.DataFrame] = []
    for cut, (_, below, above) in enumerate(cut_tables):
        for law in laws:
            row, predicted = _predict(table, law, below, above, objective)
            rows.append({"law": law, "cut": cut, **row})
            if predicted is not None:
                predictions.append(predicted.assign(law=law, cut=cut))
    if not predictions:
        reasons = [str(row["reason"]) for row in rows] + skipped
        raise AnalysisError(
            f"no hold-out can be made: {'; '.join(reasons[:2]) or 'no cut'}; add runs over a "
            "wider range of FLOPs"
        )
    errors, every = pd.DataFrame(rows), pd.concat(predictions, ignore_index=True)
    ranking = _rank(errors, len(cut_tables))
    is_clear, flags = _judge(ranking, errors, every)
    return HoldoutResult(
        splits=tuple(split for split, _, _ in cut_tables), skipped=tuple(skipped), errors=errors,
        ranking=ranking, headline=str(ranking["law"].iloc[0]), is_clear=is_clear,
        predictions=every, flags=flags,
    )  # fmt: skip


def _check(table: Table, laws: Sequence[str]) -> None:
    for law in laws:
        if law not in LAWS:
            raise AnalysisError(f"law={law!r} is not known; take one of: {', '.join(LAWS)}")
    if len(table.loss_kinds) > 1 or len(table.groups) > 1:
        raise AnalysisError(
            f"a hold-out is of one group on one yardstick; the table holds groups "
            f"{', '.join(map(str, table.groups)) or '-'} and losses {table.yardstick}: select one"
        )


Cut = tuple[Split, NDArray[np.bool_], NDArray[np.bool_]]


def _cuts(
    table: Table, quantiles: Sequence[float], gap: float, need: int
) -> tuple[list[Cut], list[str]]:
    """The cuts with enough runs on both sides, and why the others cannot be made."""
    spent_flops = table.values("c")
    # Quantiles that fall on one budget make one cut.
    distinct = {cut[2].tobytes(): cut for cut in (_cut(spent_flops, q, gap) for q in quantiles)}
    made, skipped = [], []
    for cut in distinct.values():
        split = cut[0]
        if split.n_fitted >= need and split.n_predicted >= _MIN_PREDICTED:
            made.append(cut)
        else:
            skipped.append(
                f"cut at {flops(split.predicted_from_flops)} FLOPs: {split.n_fitted} runs to fit "
                f"and {split.n_predicted} to predict; {need} and {_MIN_PREDICTED} are needed"
            )
    return made, skipped


def _cut(spent_flops: Floats, quantile: float, gap: float) -> Cut:
    """Masks [runs] of the fitted and the predicted; runs of the cut's own budget lie above it."""
    start = float(np.quantile(spent_flops, quantile, method="lower"))
    above = spent_flops >= start * (1 - _SAME_BUDGET)
    below = spent_flops <= start * gap
    split = Split(
        fitted_below_flops=start * gap, predicted_from_flops=start, n_fitted=int(below.sum()),
        n_predicted=int(above.sum()), n_between=int((~above & ~below).sum()),
    )  # fmt: skip
    return split, below, above


def _predict(
    table: Table,
    law: str,
    below: NDArray[np.bool_],
    above: NDArray[np.bool_],
    objective: Objective,
) -> tuple[dict[str, object], pd.DataFrame | None]:
    """Error of one law at one cut, and the predictions; a law that cannot be fitted says why."""
    try:
        fit = fit_law(
            table.exclude(~below, "held out"), law, objective=objective, intervals=None
        ).raise_for_status()  # fmt: skip
    except AnalysisError as error:
        return {"error": np.nan, "bias": np.nan, "reason": str(error)}, None
    loss = table.values("loss")[above]
    axes = {role: table.values(role)[above] for role in ("n", "d", "c")}
    predicted = fit.predict(axes["n"], axes["d"], c=axes["c"])
    relative = (predicted - loss) / loss
    frame = pd.DataFrame({
        "run_id": table.frame["run_id"].to_numpy()[above], "loss": loss, "predicted": predicted,
    })  # fmt: skip
    summary = {"error": float(np.abs(relative).mean()), "bias": float(relative.mean())}
    return {**summary, "reason": ""}, frame


def _rank(errors: pd.DataFrame, n_splits: int) -> pd.DataFrame:
    """Laws by mean error; one that failed at a cut ranks last, whatever its other errors."""
    rows = []
    for law, some in errors.groupby("law", sort=False):
        good = some["error"].dropna()
        rows.append({
            "law": law, "error": good.mean(), "spread": good.std(ddof=1) if len(good) > 1 else 0.0,
            "cuts": len(good), "parameters": len(LAWS[str(law)].parameters),
            "is_complete": len(good) == n_splits,
        })  # fmt: skip
    frame = pd.DataFrame(rows)
    return frame.sort_values(
        ["is_complete", "error"], ascending=[False, True], ignore_index=True, kind="stable"
    )


def _judge(
    ranking: pd.DataFrame, errors: pd.DataFrame, predictions: pd.DataFrame
) -> tuple[bool, tuple[Flag, ...]]:
    """Whether the winner's lead over the runner-up is more than noise."""
    if len(ranking) < 2 or not np.isfinite(ranking["error"].iloc[1]):
        return True, ()
    first, second = str(ranking["law"].iloc[0]), str(ranking["law"].iloc[1])
    relative = (predictions["predicted"] / predictions["loss"] - 1).abs()
    frame = predictions.assign(miss=relative)
    # A run may be predicted from several cuts; its errors are not separate evidence.
    by_run = frame.pivot_table(index="run_id", columns="law", values="miss", aggfunc="mean")
    lead = (by_run[second] - by_run[first]).dropna().to_numpy(dtype=float)
    error = float(lead.std(ddof=1)) / np.sqrt(len(lead)) if len(lead) > 1 else np.inf
    by_cut = errors.pivot_table(index="cut", columns="law", values="error")
    if lead.mean() > 2 * error and (by_cut[first] < by_cut[second]).all():
        return True, ()
    return False, (Flag(
        code="holdout_close",
        message=f"{first} predicts best ({ranking['error'].iloc[0]:.2%}), but {second} "
        f"({ranking['error'].iloc[1]:.2%}) is within its noise",
    ),)  # fmt: skip
