"""The frontier of one group: which size has the lowest loss at each FLOPs, and how it grows.

Approach 1 of Hoffmann et al. 2022, arXiv:2203.15556, section 3.1: curves are smoothed and
interpolated on a log-spaced grid of FLOPs; the sizes on their lower envelope are N*(C). What may
stand on one envelope is decided in `analysis.comparable`. The envelope moves from one size to the
next in steps, so it is a second opinion.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.comparable import Readings
from analysis.envelope import (
    GRID,
    MOST_AVERAGED,
    READINGS_PER_AVERAGE,
    best_curves,
    curves_on_grid,
    envelope_of,
    lower_envelope,
)
from analysis.errors import AnalysisError
from analysis.frontier_result import FrontierResult
from analysis.power_line import estimate_from_draws, fit_line, scale_of
from analysis.style import flops
from analysis.table import Table
from analysis.values import Flag

Floats = NDArray[np.float64]

_SMOOTHINGS_TRIED = (1, 5, MOST_AVERAGED, 2 * MOST_AVERAGED)
# Grid of the bootstrap, coarser because only the slope is kept.
_DRAW_GRID = 300
_MIN_SIZES = 3
# Exponents that move by more than this with the smoothing are not settled by the data.
_UNSETTLED = 0.05
# Above this share of draws without an exponent of their own the interval describes the others.
_MANY_STUCK = 0.05
_NO_SLOPE = 1e-9


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
    """Fits N* and D* over C along the lower envelope of the comparable losses.

    Args:
        table: runs of one group with curves.
        flops_range: where the line is fitted; None takes all FLOPs at which the best size is
            bracketed by a smaller and a larger one that reach the same FLOPs.
        smoothing: readings that each point of a curve is averaged over; None takes ten, fewer for
            curves of under 200 readings and one for ends of runs (`envelope.smoothing_of`).
    Raises:
        AnalysisError: no curves, several groups or yardsticks, or under two sizes on the envelope.

    >>> import numpy as np
    >>> import pandas as pd
    >>> from analysis import frontier, load_table
    >>> parts = []
    >>> for n in np.geomspace(1e6, 3e9, 16):
    ...     d = np.geomspace(1e7, 3e11, 60)
    ...     loss = 1.8 + 400 / n**0.34 + 2000 / d**0.37
    ...     curve = pd.DataFrame({"N": n, "D": d, "C": 6 * n * d, "loss": loss})
    ...     parts.append(curve.assign(run=f"N = {n:.3g}"))
    >>> result = frontier(load_table(pd.concat(parts)), n_boot=100)
    >>> round(result.exponents["a"].value, 2)
    0.52
    """
    envelope = lower_envelope(table, split=split, smoothing=smoothing)
    points, readings, smoothing = envelope.points, envelope.readings, envelope.smoothing
    low, high = flops_range or _bracketed_range(points)
    only_bracketed = flops_range is None
    used = _used(points, (low, high), only_bracketed)
    n_sizes = points["params_opt"][used].nunique()
    if n_sizes < 2:
        raise AnalysisError(
            f"the envelope holds {n_sizes} size{'s' * (n_sizes != 1)} between {flops(low)} and "
            f"{flops(high)} FLOPs; an exponent needs 2: add sizes, or budgets"
        )
    log_c = np.log(points["train_flops"].to_numpy()[used])
    draws = _draw(readings, table.columns["n"], smoothing, (low, high), only_bracketed, n_boot,
                  seed)  # fmt: skip
    exponents = {}
    coefficients: dict[str, float] = {}
    for name, role, opt in (("a", "params", "N_opt"), ("b", "tokens", "D_opt")):
        values = np.log(points[f"{role}_opt"].to_numpy()[used])
        slope, intercept = fit_line(log_c, values[None], np.ones_like(log_c))
        exponents[name] = estimate_from_draws(
            name, slope[0], {f"bootstrap by {readings.unit}": draws[name]}, level=level,
            meaning=f"exponent of {opt} over C along the envelope",
        )  # fmt: skip
        coefficients |= scale_of(f"{role}_at_1", float(intercept[0]))
    tried = _smoothings(readings, smoothing)
    variants = _variants(readings, table.columns["n"], (low, high), only_bracketed, tried)
    return FrontierResult(
        exponents=exponents, coefficients=coefficients, points=points, flops_range=(low, high),
        basis=readings.basis, left_out=readings.left_out, n_sizes=n_sizes, smoothing=smoothing,
        variants=variants, draws=draws, columns=table.columns, labels=table.labels,
        yardstick=table.yardstick, n_runs=len(table.frame), seed=seed,
        flags=tuple(_flags(readings, variants, draws["a"], n_sizes, flops_range is not None)),
    )  # fmt: skip


def _smoothings(readings: Readings, smoothing: int) -> list[int]:
    """The smoothing and others to hold it against; ends of runs have none."""
    if readings.basis == "cooled-down ends":
        return [smoothing]
    most = 2 * max(1, int(readings.frame.groupby("curve").size().median()) // READINGS_PER_AVERAGE)
    return sorted({smoothing, *(s for s in _SMOOTHINGS_TRIED if s <= most)})


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
    readings: Readings,
    n_column: str,
    smoothing: int,
    flops_range: tuple[float, float],
    only_bracketed: bool,
    n_boot: int,
    seed: int,
) -> dict[str, Floats]:
    """Exponents over resampled curves; NaN for a draw without a bracketed best size."""
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
        best, found, bracketed = best_curves(losses_RG[picked], curves.log_params[picked])
        found = found & bracketed if only_bracketed else found
        rows = picked[best]
        sizes_BG[draw] = np.where(found, curves.log_params[rows], np.nan)
        tokens_BG[draw] = np.where(found, tokens_RG[rows, np.arange(n_grid)], np.nan)
    weight = np.ones_like(log_c)
    slopes = {"a": fit_line(log_c, sizes_BG, weight)[0], "b": fit_line(log_c, tokens_BG, weight)[0]}
    # One size at every FLOPs has the slope 0 up to rounding.
    return {name: np.where(np.abs(x) < _NO_SLOPE, 0.0, x) for name, x in slopes.items()}


def _variants(
    readings: Readings,
    n_column: str,
    flops_range: tuple[float, float],
    only_bracketed: bool,
    smoothings: Sequence[int],
) -> pd.DataFrame:
    """The exponent under other smoothings, on the same range."""
    rows = []
    for smoothing in smoothings:
        points = envelope_of(readings, n_column, smoothing, GRID).points
        used = points.iloc[np.flatnonzero(_used(points, flops_range, only_bracketed))]
        log_c = np.log(used["train_flops"].to_numpy())
        slope, _ = fit_line(log_c, np.log(used["params_opt"].to_numpy())[None], np.ones_like(log_c))
        rows.append({"smoothing": smoothing, "a": float(slope[0])})
    return pd.DataFrame(rows)


def _flags(
    readings: Readings, variants: pd.DataFrame, drawn: Floats, n_sizes: int, range_given: bool
) -> Iterator[Flag]:
    if readings.basis == "unknown schedule":
        yield Flag(
            code="schedule_unknown",
            message="the table does not say the learning rate of a reading: readings before the "
            "end of a schedule lie above the loss of a run that ends there, so they may not be "
            "comparable",
        )
    spread = variants["a"].max() - variants["a"].min()
    if spread > _UNSETTLED:
        yield Flag(
            code="smoothing_decides",
            message=f"a moves by {spread:.2f} with the smoothing of the curves "
            f"({variants['a'].min():.3f} to {variants['a'].max():.3f})",
        )
    if n_sizes < _MIN_SIZES:
        yield Flag(
            code="few_sizes",
            message=f"the envelope passes {n_sizes} sizes between others: one step between them "
            f"makes the exponent; add sizes until it passes {_MIN_SIZES}",
        )
    stuck = float((~np.isfinite(drawn) | (drawn == 0.0)).mean())
    if stuck > _MANY_STUCK:
        yield Flag(
            code="draws_stuck",
            message=f"in {stuck:.0%} of the draws no size or only one is best between others, so "
            "the interval describes the rest; add sizes",
        )
    if range_given:
        yield Flag(
            code="range_given",
            severity="note",
            message="the range of FLOPs was given, not taken from where the best size is "
            "bracketed; the exponent depends on it",
        )
