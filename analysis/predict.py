"""Predictions of a fitted law: losses with intervals, and the best split of a budget."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from analysis.errors import AnalysisError
from analysis.estimates import percentile_ends
from analysis.laws import FITTED
from analysis.laws.law import Floats, LogAxes
from analysis.optimum import best_split
from analysis.values import Estimate, Flag, Interval, Optimum, Prediction

if TYPE_CHECKING:
    from analysis.result import FitResult

# Draws x points of one block of predictions.
_BLOCK_ELEMENTS = 2_000_000


def point(fit: FitResult, given: Mapping[str, ArrayLike | None]) -> Floats:
    """Loss at the points, in the broadcast shape of the axes."""
    axes, shape = _log_axes(fit, given)
    value, _ = FITTED[fit.law].model(fit.theta[None], axes)
    return np.asarray(value[0] * fit.scales["loss"]).reshape(shape)


def with_interval(
    fit: FitResult, given: Mapping[str, ArrayLike | None], *, level: float
) -> Prediction:
    """Loss at the points with intervals of the curve."""
    axes, shape = _log_axes(fit, given)
    law = FITTED[fit.law]
    loss = point(fit, given)
    outside = np.zeros(loss.size, dtype=bool)
    for role, log_value in axes.items():
        value = np.exp(log_value) * fit.scales[role]
        slack = 1 + 1e-9
        outside |= (value < fit.axes[role].low / slack) | (value > fit.axes[role].high * slack)
    low = high = None
    if fit.draws is not None:
        step = max(1, _BLOCK_ELEMENTS // len(fit.draws))
        ends = []
        for first in range(0, loss.size, step):
            some = {role: axis[first : first + step] for role, axis in axes.items()}
            drawn = law.model(fit.draws, some)[0] * fit.scales["loss"]
            ends.append(percentile_ends(
                loss.ravel()[first : first + step], drawn, level=level, stretch=fit.draws_stretch
            ))  # fmt: skip
        low, high = (np.concatenate(side).reshape(shape) for side in zip(*ends, strict=True))
    return Prediction(
        loss=loss, low=low, high=high, method=fit.draws_method or "no intervals were asked for",
        extrapolates=outside.reshape(shape),
    )  # fmt: skip


def _log_axes(
    fit: FitResult, given: Mapping[str, ArrayLike | None]
) -> tuple[LogAxes, tuple[int, ...]]:
    """The law's axes over their scales, flat, and the shape to give back."""
    arrays = {}
    for role in FITTED[fit.law].axes:
        value = given[role]
        if value is None:
            raise AnalysisError(
                f"the {fit.law} law needs {role} ({fit.axes[role].unit}); give {role}=..."
            )
        arrays[role] = np.asarray(value, dtype=float)
        if not (np.isfinite(arrays[role]) & (arrays[role] > 0)).all():
            raise AnalysisError(f"{role} = {value} must be finite and positive")
    shape = np.broadcast_shapes(*(array.shape for array in arrays.values()))
    flat = {role: np.broadcast_to(array, shape).ravel() for role, array in arrays.items()}
    return {role: np.log(array / fit.scales[role]) for role, array in flat.items()}, shape


def optimum(
    fit: FitResult,
    flops: float,
    *,
    train_flops: Callable[[Floats, Floats], Floats] | None,
    unique_tokens: float | None,
    level: float,
) -> Optimum:
    """The best split of `flops`, with intervals from the draws."""
    law = FITTED[fit.law]
    if not {"n", "d"} <= set(law.axes):
        raise AnalysisError(
            f"the {fit.law} law has no N and D to split a budget over; fit chinchilla"
        )
    if not (np.isfinite(flops) and flops > 0):
        raise AnalysisError(f"flops = {flops} must be finite and positive")
    if unique_tokens is not None and "u" not in law.axes:
        raise AnalysisError(f"the {fit.law} law knows no repeats; fit data_constrained")
    split = [
        best_split(law, theta, fit.scales, float(flops), train_flops=train_flops,
                   unique_tokens=unique_tokens)
        for theta in ([fit.theta[None]] + ([fit.draws] if fit.draws is not None else []))
    ]  # fmt: skip
    with np.errstate(over="ignore"):
        tables = [np.stack([np.exp(n), np.exp(d), loss]) for n, d, loss in split]
    names = (("N*", "n"), ("D*", "d"), ("loss", "loss"))
    made = [
        _estimate(fit, name, role, float(tables[0][i, 0]),
                  tables[1][i] if len(tables) > 1 else None, level)
        for i, (name, role) in enumerate(names)
    ]  # fmt: skip
    spent = train_flops or (lambda n, d: 6.0 * n * d)
    counts = spent(fit.used["n"].to_numpy(float), fit.used["d"].to_numpy(float))
    counted = "6 N D" if train_flops is None else "the given count of FLOPs"
    return Optimum(
        flops=float(flops),
        params=made[0],
        tokens=made[1],
        loss=made[2],
        tokens_per_param=made[1].value / made[0].value if made[0].value > 0 else float("nan"),
        convention=f"C = {counted}, N = {fit.axes['n'].column}, D = {fit.axes['d'].column}",
        extrapolation=float(flops / np.max(counts)),
        flags=_flags(made),
    )


def _estimate(
    fit: FitResult, name: str, role: str, value: float, drawn: Floats | None, level: float
) -> Estimate:
    interval = spread = None
    if drawn is not None and np.isfinite(value) and value > 0:
        # On logarithms, where they are nearly symmetric; a draw without optimum is at an end.
        with np.errstate(divide="ignore"):
            line = np.clip(np.nan_to_num(np.log(drawn), nan=np.log(value)), -700.0, 700.0)
        low, high = percentile_ends(
            np.array(np.log(value)), line, level=level, stretch=fit.draws_stretch
        )
        interval = Interval(
            low=float(np.exp(np.maximum(low, -700.0))), high=float(np.exp(np.minimum(high, 700.0))),
            level=level,
            method=str(fit.draws_method), n_draws=len(line),
        )  # fmt: skip
        with np.errstate(over="ignore", invalid="ignore"):
            spread = float(np.std(drawn, ddof=1))
    return Estimate(
        name=name, value=value, unit=fit.axes[role].unit,
        standard_error=spread if spread is not None and np.isfinite(spread) else None,
        interval=interval, intervals=(interval,) if interval else (),
    )  # fmt: skip


def _flags(made: list[Estimate]) -> tuple[Flag, ...]:
    if all(np.isfinite(e.value) and e.value > 0 for e in made):
        return ()
    return (Flag(
        code="no_optimum", severity="failure",
        message="the law has no optimum at this budget: one of its terms vanished in the fit",
    ),)  # fmt: skip
