"""Figures of the runs themselves: loss over FLOPs, curves, bits per byte."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
from matplotlib.axes import Axes

from analysis.arm import Arm
from analysis.errors import AnalysisError
from analysis.learning_rate import learning_rate_curves, learning_rate_rules
from analysis.plots.canvas import Panel
from analysis.plots.drawing import Drawing, arm_panel
from analysis.plots.learning_rate import draw_learning_rates
from analysis.plots.runs import draw_bits_per_byte, draw_curves, draw_loss_over_flops
from analysis.study import Study
from analysis.style import count, loss_label, number


def _per_arm(
    study: Study, figure: str, make: Callable[[Arm], tuple[str, Callable[[Axes], pd.DataFrame]]]
) -> tuple[Panel, ...]:
    return tuple(
        arm_panel(figure, arm, i, *make(arm)) for i, arm in enumerate(study.arms.values())
    )  # fmt: skip


_ENVELOPE_STYLE = (
    " It is solid where a smaller and a larger size reach the same FLOPs, dotted where the best "
    "size is the smallest or the largest one."
)
# What the line is drawn through -> what the caption says of it.
_ENVELOPES = {
    "cooled-down ends": " The line is the lower envelope of the cooled-down ends, the runs of one "
    "size joined over their horizons; readings before the end of a run are not on it, because they "
    "lie above a cooled-down loss." + _ENVELOPE_STYLE,
    "constant learning rate": " The line is the lower envelope of the validation curves after the "
    "warm-up, all at a constant learning rate." + _ENVELOPE_STYLE,
    "unknown schedule": " The line is the lower envelope of the curves. The table does not say "
    "their learning rates, so readings before the end of a run may lie above what a run of that "
    "length would reach; its exponent carries no verdict." + _ENVELOPE_STYLE,
}


def flops_figure(study: Study) -> Drawing:
    def make(arm: Arm) -> tuple[str, Callable[[Axes], pd.DataFrame]]:
        losses = arm.table.values("loss")
        alt = f"{len(losses)} runs, loss {number(losses.max())} to {number(losses.min())}"
        return alt, lambda ax: draw_loss_over_flops(ax, arm.table, arm.envelope)

    bases = dict.fromkeys(x.envelope.readings.basis for x in study.arms.values() if x.envelope)
    return Drawing(
        name="loss-over-flops",
        title="Loss over training FLOPs",
        caption="Each mark is the final loss of a run." + "".join(_ENVELOPES[b] for b in bases),
        panels=_per_arm(study, "flops", make),
    )


def curves_figure(study: Study) -> Drawing | None:
    if not study.table.has_readings:
        return None

    def make(arm: Arm) -> tuple[str, Callable[[Axes], pd.DataFrame]]:
        label = loss_label(arm.table.yardstick)
        alt = f"{label} over tokens, one falling curve for each of {len(arm.table.frame)} runs"
        return alt, lambda ax: draw_curves(ax, arm.table)

    return Drawing(
        name="curves",
        title="Training curves",
        caption="Validation loss over tokens processed, coloured by size; the mark is the end of "
        "the run, after its cool-down. Only ends enter the fits.",
        panels=_per_arm(study, "curves", make),
    )


def bits_figure(study: Study) -> Drawing | None:
    frame = study.table.frame
    if "bits_per_byte" not in frame or "bits_per_byte_kind" not in frame or "group" not in frame:
        return None
    marks = {arm.name: arm.mark for arm in study.arms.values()}
    c = study.table.columns["c"]
    best = frame.groupby("group", sort=False)["bits_per_byte"].min()
    panel = Panel(
        name="bits-per-byte",
        title="Bits per byte of held-out text",
        alt="; ".join(f"{group}: lowest {number(value)}" for group, value in best.items()),
        draw=lambda ax: draw_bits_per_byte(ax, frame, marks, c=c, c_label=study.table.labels["c"]),
    )
    return Drawing(
        name="bits-per-byte",
        title="The shared yardstick: bits per byte",
        caption="Code length of the same held-out text: the one loss that both arms share an axis "
        "for. Causal models have an exact value (filled). Masked models have an upper bound by "
        "the any-order bound (hollow, arrow down): the true value is at or below it, so a gap "
        "between the arms is at most as large as it looks.",
        panels=(panel,),
    )


def learning_rate_figure(study: Study) -> Drawing | None:
    """Only for a sweep that varies the peak learning rate and nothing with it."""
    try:
        found = learning_rate_curves(study.table)
    except AnalysisError:
        return None
    rules = {rule.group: rule for rule in learning_rate_rules(found)}

    def make(arm: Arm) -> tuple[str, Callable[[Axes], pd.DataFrame]]:
        mine = [curve for curve in found if curve.group == arm.name]
        best = [f"{curve.best_lr:.3g}" for curve in mine if curve.best_lr is not None]
        alt = f"loss over peak learning rate; minima at {', '.join(best) or 'no rate in range'}"
        return alt, lambda ax: draw_learning_rates(ax, mine, arm.table.yardstick)

    stated = [
        f"{rule.group}: {rule.at_100k:.3g} x (N / 100k)^{rule.exponent:.2f}"
        for rule in rules.values()
    ]
    refused = [
        f"{curve.group}, N = {count(curve.params_non_embedding)}: {curve.refused}"
        for curve in found
        if curve.refused
    ]
    return Drawing(
        name="learning-rate",
        title="Loss over peak learning rate",
        caption="One curve per size at a fixed number of tokens. The hollow mark is the minimum "
        "of a parabola through the lowest point and its neighbours. "
        + ". ".join([*stated, *refused]),
        panels=_per_arm(study, "learning-rate", make),
    )
