"""The figures of a study, by name. A new figure is one function and one line in `FIGURES`."""

from __future__ import annotations

from collections.abc import Callable

from analysis.plots.drawing import Drawing
from analysis.plots.fit_figures import (
    exponents_figure,
    isoflop_figure,
    multiplier_figure,
    optimal_figure,
    residuals_figure,
)
from analysis.plots.run_figures import (
    bits_figure,
    curves_figure,
    flops_figure,
    learning_rate_figure,
)
from analysis.study import Study

__all__ = ["FIGURES", "Drawing"]

FIGURES: dict[str, Callable[[Study], Drawing | None]] = {
    "isoflop": isoflop_figure,
    "optimal": optimal_figure,
    "exponents": exponents_figure,
    "bits-per-byte": bits_figure,
    "multiplier": multiplier_figure,
    "loss-over-flops": flops_figure,
    "curves": curves_figure,
    "residuals": residuals_figure,
    "learning-rate": learning_rate_figure,
}
