"""Figure of the learning-rate curves: loss over peak learning rate, one curve per size."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes

from analysis.learning_rate import LearningRateCurve
from analysis.plots.canvas import claim_yardstick, log_x, points, stack
from analysis.style import PAPER, count, ramp_marks


def draw_learning_rates(
    ax: Axes, curves: Sequence[LearningRateCurve], loss_kind: str
) -> pd.DataFrame:
    """The curves of one arm; the parabola's minimum is hollow and stands on its size's line.

    Args:
        loss_kind: yardstick of the losses.
    """
    claim_yardstick(ax, [loss_kind])
    marks = ramp_marks(curve.params_non_embedding for curve in curves)
    parts = []
    for curve in sorted(curves, key=lambda c: c.params_non_embedding):
        mark = marks[curve.params_non_embedding]
        series = f"N = {curve.params_non_embedding:.0f}"
        x, y = (curve.runs[name].to_numpy(float) for name in ("peak_lr", "loss"))
        ax.plot(x, y, color=mark.colour, linestyle=mark.line, marker=mark.marker,
                label=count(curve.params_non_embedding))  # fmt: skip
        parts.append(points(series, "run", x, y))
        if curve.best_lr is not None:
            lowest = float(y.min())
            ax.plot([curve.best_lr], [lowest], linestyle="none", marker="v", markersize=8,
                    color=mark.colour, markerfacecolor=PAPER)  # fmt: skip
            parts.append(points(series, "minimum", [curve.best_lr], [lowest]))
    data = stack(parts)
    log_x(ax, "peak learning rate", data["x"])
    ax.legend(title="parameters N (without embeddings)", title_fontsize=7.5, ncols=2, loc="best")
    return data
