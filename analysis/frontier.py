"""The envelope of training curves: which size has the lowest loss at each FLOPs.

Approach 1 of Hoffmann et al. 2022, arXiv:2203.15556, section 3.1: training curves are smoothed and
interpolated on a log-spaced grid of FLOPs; the sizes on their lower envelope are N*(C). Points
before a cool-down are not on a compute-optimal run, so the envelope is a second opinion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.envelope import best_runs, curves_on_grid
from analysis.errors import AnalysisError
from analysis.power_line import estimate_from_draws, fit_line
from analysis.table import Table
from analysis.values import Estimate, Flag

Floats = NDArray[np.float64]

METHOD = "bootstrap by run"

# Grid of Hoffmann et al.; readings that a curve is averaged over, at most one in this many.
_GRID = 1500
_SMOOTHING = 10
_READINGS_PER_AVERAGE = 20
_SMOOTHINGS_TRIED = (1, 5, 10, 20)
# Grid of the bootstrap, coarser because only the slope is kept.
_DRAW_GRID = 300
_MIN_SIZES = 3
# Exponents that move by more than this with the smoothing are not settled by the data.
_UNSETTLED = 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class FrontierResult:
    """The envelope and the exponents of N*(C) and D*(C) along it.

    Attributes:
        exponents: `a` of N* and `b` of D*, with intervals over resampled runs.
        coefficients: `params_at_1`, `tokens_at_1`: N* = params_at_1 x C^a.
        points: per grid point: train_flops, run_id, params_opt, tokens_opt, loss_nats, and
            `bracketed` (a smaller and a larger size reach the same FLOPs).
        flops_range: the FLOPs over which the line is fitted.
        variants: `smoothing` and `a`: what the number of averaged readings decides.
        draws: `a` and `b` per draw.
    """

    exponents: dict[str, Estimate]
    coefficients: dict[str, float]
    points: pd.DataFrame
    flops_range: tuple[float, float]
    smoothing: int
    variants: pd.DataFrame
    draws: dict[str, Floats]
    columns: dict[str, str]
    labels: dict[str, str]
    yardstick: str
    n_runs: int
    flags: tuple[Flag, ...]
    seed: int

    def params_opt(self, flops: float | Floats) -> Floats:
        """N* on the fitted line at a budget in FLOPs."""
        return self.coefficients["params_at_1"] * np.asarray(flops) ** self.exponents["a"].value


def frontier(
    table: Table,
    *,
    split: str = "validation",
    flops_range: tuple[float, float] | None = None,
    smoothing: int | None = None,
    n_boot: int = 500,
    level: float = 0.95,
    seed: int = 0,
) -> FrontierResult:
    """Fits N* and D* over C along the lower envelope of the training curves.

    Args:
        table: runs of one group with curves.
        flops_range: where the line is fitted; None takes all FLOPs at which the best size is
            bracketed by a smaller and a larger one that reach the same FLOPs.
        smoothing: readings that each point of a curve is averaged over; None takes ten, and fewer
            for curves of under 200 readings.
    Raises:
        AnalysisError: no curves, several groups or yardsticks, or under two sizes on the envelope.
    """
    readings = _readings(table, split)
    most = max(1, int(readings.groupby("run_id").size().median()) // _READINGS_PER_AVERAGE)
    smoothing = min(_SMOOTHING, most) if smoothing is None else smoothing
    points = _envelope(readings, table.columns["n"], smoothing, _GRID)
    low, high = flops_range or _bracketed_range(points)
    only_bracketed = flops_range is None
    used = _used(points, (low, high), only_bracketed)
    if points["params_opt"][used].nunique() < 2:
        raise AnalysisError(
            f"the envelope holds {points['params_opt'][used].nunique()} sizes between {low:.3g} "
            f"and {high:.3g} FLOPs; an exponent needs 2: add sizes, or widen flops_range"
        )
    log_c = np.log(points["train_flops"].to_numpy()[used])
    draws = _draw(readings, table.columns["n"], smoothing, (low, high), only_bracketed, n_boot,
                  seed)  # fmt: skip
    exponents, coefficients = {}, {}
    for name, role, opt in (("a", "params", "N_opt"), ("b", "tokens", "D_opt")):
        values = np.log(points[f"{role}_opt"].to_numpy()[used])
        slope, intercept = fit_line(log_c, values[None], np.ones_like(log_c))
        exponents[name] = estimate_from_draws(
            name, slope[0], {METHOD: draws[name]}, level=level,
            meaning=f"exponent of {opt} over C along the envelope",
        )  # fmt: skip
        coefficients[f"{role}_at_1"] = float(np.exp(intercept[0]))
    tried = sorted({smoothing, *(s for s in _SMOOTHINGS_TRIED if s <= 2 * most)})
    variants = _variants(readings, table.columns["n"], (low, high), only_bracketed, tried)
    return FrontierResult(
        exponents=exponents, coefficients=coefficients, points=points, flops_range=(low, high),
        smoothing=smoothing, variants=variants, draws=draws, columns=table.columns,
        labels=table.labels, yardstick=table.yardstick, n_runs=readings["run_id"].nunique(),
        flags=_flags(variants, flops_range is not None), seed=seed,
    )  # fmt: skip


def _readings(table: Table, split: str) -> pd.DataFrame:
    if len(table.groups) > 1 or len(table.loss_kinds) > 1:
        raise AnalysisError(
            f"an envelope is of one group on one yardstick; the table holds groups "
            f"{', '.join(map(str, table.groups)) or '-'} and losses {table.yardstick}: select one"
        )
    points = table.curves()
    points = points[points["run_id"].isin(table.frame["run_id"])]
    at_split = points[points["split"] == split]
    if at_split.empty:
        known = ", ".join(sorted(points["split"].unique()))
        raise AnalysisError(f"the curves have no split {split!r}; they have {known or 'none'}")
    loss, flops = (at_split[c].to_numpy(dtype=float) for c in ("loss_nats", "train_flops"))
    good = at_split.iloc[np.flatnonzero(np.isfinite(loss) & (loss > 0) & (flops > 0))]
    return good.sort_values(["run_id", "train_flops"])


def _envelope(readings: pd.DataFrame, n_column: str, smoothing: int, n_grid: int) -> pd.DataFrame:
    """The best run at each point of the grid."""
    curves = curves_on_grid(readings, n_column, smoothing, n_grid)
    best, seen, bracketed = best_runs(curves.losses, curves.log_params)
    columns = np.arange(len(best))
    points = pd.DataFrame({
        "train_flops": np.exp(curves.log_flops),
        "run_id": [curves.run_ids[i] for i in best],
        "params_opt": np.exp(curves.log_params[best]),
        "tokens_opt": np.exp(curves.log_tokens[best, columns]),
        "loss_nats": curves.losses[best, columns],
        "bracketed": bracketed,
    })  # fmt: skip
    return points.iloc[np.flatnonzero(seen)].reset_index(drop=True)


def _used(
    points: pd.DataFrame, flops_range: tuple[float, float], only_bracketed: bool
) -> NDArray[np.bool_]:
    """The points that the line is fitted through."""
    inside = points["train_flops"].between(*flops_range).to_numpy()
    return np.asarray(inside & points["bracketed"].to_numpy() if only_bracketed else inside)


def _bracketed_range(points: pd.DataFrame) -> tuple[float, float]:
    flops = points["train_flops"][points["bracketed"]]
    if flops.empty:
        raise AnalysisError(
            "the best size is the smallest or the largest one at every FLOPs; add sizes on both "
            "sides"
        )
    return float(flops.min()), float(flops.max())


def _draw(
    readings: pd.DataFrame,
    n_column: str,
    smoothing: int,
    flops_range: tuple[float, float],
    only_bracketed: bool,
    n_boot: int,
    seed: int,
) -> dict[str, Floats]:
    """Exponents over resampled runs."""
    curves = curves_on_grid(readings, n_column, smoothing, _DRAW_GRID)
    low, high = np.log(flops_range)
    inside = (curves.log_flops >= low) & (curves.log_flops <= high)
    losses_RG = curves.losses[:, inside]
    tokens_RG = curves.log_tokens[:, inside]
    log_c = curves.log_flops[inside]
    n_runs, n_grid = losses_RG.shape
    generator = np.random.default_rng(seed)
    sizes_BG, tokens_BG = np.full((2, n_boot, n_grid), np.nan)
    for draw in range(n_boot):
        picked = np.unique(generator.integers(n_runs, size=n_runs))
        best, found, bracketed = best_runs(losses_RG[picked], curves.log_params[picked])
        found = found & bracketed if only_bracketed else found
        rows = picked[best]
        sizes_BG[draw] = np.where(found, curves.log_params[rows], np.nan)
        tokens_BG[draw] = np.where(found, tokens_RG[rows, np.arange(n_grid)], np.nan)
    weight = np.ones_like(log_c)
    return {"a": fit_line(log_c, sizes_BG, weight)[0], "b": fit_line(log_c, tokens_BG, weight)[0]}


def _variants(
    readings: pd.DataFrame,
    n_column: str,
    flops_range: tuple[float, float],
    only_bracketed: bool,
    smoothings: Sequence[int],
) -> pd.DataFrame:
    """The exponent under other smoothings, on the same range."""
    rows = []
    for smoothing in smoothings:
        points = _envelope(readings, n_column, smoothing, _GRID)
        used = points.iloc[np.flatnonzero(_used(points, flops_range, only_bracketed))]
        log_c = np.log(used["train_flops"].to_numpy())
        slope, _ = fit_line(log_c, np.log(used["params_opt"].to_numpy())[None], np.ones_like(log_c))
        rows.append({"smoothing": smoothing, "a": float(slope[0])})
    return pd.DataFrame(rows)


def _flags(variants: pd.DataFrame, range_given: bool) -> tuple[Flag, ...]:
    flags = [Flag(
        code="before_cooldown", severity="note",
        message="points of training curves lie before the cool-down of their run; the envelope "
        "is a second opinion beside cooled-down runs",
    )]  # fmt: skip
    spread = variants["a"].max() - variants["a"].min()
    if spread > _UNSETTLED:
        flags.append(Flag(
            code="smoothing_decides",
            message=f"a moves by {spread:.2f} with the smoothing of the curves "
            f"({variants['a'].min():.3f} to {variants['a'].max():.3f})",
        ))  # fmt: skip
    if range_given:
        flags.append(Flag(
            code="range_given", severity="note",
            message="the range of FLOPs was given, not taken from where the best size is "
            "bracketed; the exponent depends on it",
        ))  # fmt: skip
    return tuple(flags)
