"""Figures of what was fitted: profiles, optima, exponents, compute at equal loss, residuals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.arm import Arm
from analysis.comparison import Comparison
from analysis.multiplier_result import Multiplier
from analysis.plots.canvas import Panel, on_log, stack
from analysis.plots.drawing import Drawing, arm_panel, slug
from analysis.plots.fits import ForestRow, draw_forest, draw_multiplier, draw_residuals
from analysis.plots.isoflop import Role, draw_isoflop, draw_optimal, draw_unfitted
from analysis.result import Estimate
from analysis.study import Study
from analysis.style import DOUBTFUL, count, flops, interval, printed

_MINIMUM_OF = {"akima": "an Akima interpolant of log loss", "parabola": "a parabola"}


def isoflop_figure(study: Study) -> Drawing:
    """One panel per arm; an arm whose budgets have no minima shows its hollow points."""
    found = [arm.isoflop for arm in study.arms.values() if arm.isoflop]
    caption = "Loss of the cooled-down runs over model size, one profile per FLOP budget."
    if found:
        caption += (
            f" The star is the minimum of {_MINIMUM_OF[found[0].method]} over log N; the bar is "
            "the 95 % interval of its N."
        )
    if len(study.table.loss_kinds) > 1:
        caption += (
            " Each arm has its own yardstick: heights are not comparable between panels, the "
            "places of the minima are."
        )
    if len(found) < len(study.arms) or any(result.refused for result in found):
        caption += " Budgets without a usable minimum are hollow, with the reason below."
    return Drawing(
        name="isoflop",
        title="IsoFLOP profiles",
        caption=caption,
        panels=tuple(_isoflop_panel(i, arm) for i, arm in enumerate(study.arms.values())),
    )


def _isoflop_panel(i: int, arm: Arm) -> Panel:
    result = arm.isoflop
    if result is None:
        reason = arm.missing["isoflop"]
        alt = f"loss over {arm.table.labels['n']}, no minima: {reason}"
        return arm_panel("isoflop", arm, i, alt, lambda ax: draw_unfitted(ax, arm.table, reason))
    minima = "; ".join(f"{count(b.params_opt)} at {flops(b.flops)}" for b in result.budgets)
    alt = (
        f"loss over {result.labels['n']}, one profile per budget. "
        f"Lowest loss: N = {minima} FLOPs. {len(result.refused)} budgets refused."
    )
    return arm_panel("isoflop", arm, i, alt, lambda ax: draw_isoflop(ax, result))


def optimal_figure(study: Study) -> Drawing | None:
    arms = [arm for arm in study.arms.values() if arm.isoflop]
    if not arms:
        return None

    def panel(role: Role, what: str) -> Panel:
        def draw(ax: Axes) -> pd.DataFrame:
            return stack(
                draw_optimal(ax, arm.isoflop, role, arm.name, arm.mark, optima=arm.optima,
                             doubt=DOUBTFUL if arm.isoflop_doubts else "")
                for arm in arms
                if arm.isoflop
            )  # fmt: skip

        name = {"params": "a", "tokens": "b"}[role]
        alt = "; ".join(
            f"{arm.name} exponent {name} = {printed(arm.isoflop.exponents[name])}"
            for arm in arms if arm.isoflop
        )  # fmt: skip
        return Panel(name=slug("optimal", role), title=what, alt=f"{what}: {alt}", draw=draw)

    return Drawing(
        name="optimal",
        title="Compute-optimal size and tokens",
        caption="Size and tokens with the lowest loss at each budget. Marks and solid lines: "
        "isoFLOP minima with 95 % intervals and the power law through them; dotted line and band: "
        "the optimum of the fitted loss surface and its 95 % band, an independent estimate. Hollow "
        "marks: the exponent is doubtful, the section Checks says why. "
        "Counts have one unit, so the arms share an axis here.",
        panels=(panel("params", "Optimal parameters N*"), panel("tokens", "Optimal tokens D*")),
    )


def exponents_figure(study: Study) -> Drawing | None:
    """Exponents side by side: N* over C from both methods, and those of the loss surface."""
    panels = []
    for name, quantities, title, x_label in (
        ("a", ("a",), "Exponent a of N*", "a in N* ∝ C^a"),
        ("loss", ("alpha", "beta"), "Exponents of the loss", "α in A / N^α, β in B / D^β"),
    ):
        rows = [row for q in quantities for arm in study.arms.values()
                for row in _forest_rows(arm, q)]  # fmt: skip
        if rows:
            panels.append(_forest_panel(study, name, title, x_label, rows))
    if not panels:
        return None
    return Drawing(
        name="exponents",
        title="Exponents side by side",
        caption="Point: estimate; bar: its 95 % interval, the widest of those computed. Filled: "
        "nothing speaks against it; hollow and marked doubtful: it carries no verdict, the "
        "section Checks says why. An arrow marks an interval that leaves the axis or has no end. "
        "Overlap is no proof of equality."
        + (
            " α and β of a masked and a causal loss are exponents of different losses: they "
            "stand side by side for their shape only."
            if len(study.table.loss_kinds) > 1
            else ""
        ),
        panels=tuple(panels),
    )


def _forest_panel(
    study: Study, name: str, title: str, x_label: str, rows: list[ForestRow]
) -> Panel:
    marks = {arm.name: arm.mark for arm in study.arms.values()}
    alt = "; ".join(
        f"{' '.join(row.label.split())} {interval(row.value, row.low, row.high)}" for row in rows
    )
    return Panel(
        name=slug("exponents", name),
        title=title,
        alt=alt,
        draw=lambda ax: draw_forest(ax, rows, marks, x_label=x_label),
        inches=(4.2, 0.85 + 0.46 * len(rows)),
    )


def _forest_rows(arm: Arm, quantity: str) -> list[ForestRow]:
    rows = []
    if quantity == "a" and arm.isoflop:
        doubts = arm.isoflop_doubts
        rows.append(_row(f"{arm.name}\nisoFLOP", arm, arm.isoflop.exponents["a"], doubts))
    if arm.fit:
        estimate = arm.fit.estimates.get(quantity) or arm.fit.derived.get(quantity)
        if estimate:
            symbol = {"alpha": "α, ", "beta": "β, "}.get(quantity, "")
            label = f"{symbol}{arm.name}\nloss surface"
            rows.append(_row(label, arm, estimate, arm.surface_doubts(quantity)))
    return rows


def _row(label: str, arm: Arm, estimate: Estimate, doubts: Sequence[str]) -> ForestRow:
    box = estimate.interval
    return ForestRow(
        label=label, series=arm.name, value=estimate.value, low=box.low if box else None,
        high=box.high if box else None, doubt=DOUBTFUL if doubts else "",
    )  # fmt: skip


def multiplier_figure(study: Study) -> Drawing | None:
    """Compute at equal loss, only where the arms share a yardstick."""
    comparison = next(
        (x for x in (study.comparison, study.bits) if x and x.multipliers), None
    )  # fmt: skip
    # Where no budget of one arm reaches the loss of the other there is no factor to draw.
    found = [
        m for m in (comparison.multipliers.values() if comparison else ())
        if np.isfinite(on_log(m.value)).sum() > 1
    ]  # fmt: skip
    if not found:
        return None
    label = study.table.labels["c"]

    def panel(found: Multiplier) -> Panel:
        mark = study.arms[found.group].mark
        dearest = found.common_range[1]
        return Panel(
            name=slug("multiplier", found.group),
            title=f"Compute of {found.reference} per {found.group}, equal loss",
            alt=f"at {flops(dearest)} FLOPs: {printed(found.at(dearest))} times",
            draw=lambda ax: draw_multiplier(ax, found, mark, label),
        )

    return Drawing(
        name="multiplier",
        title="Compute at equal loss",
        caption="How many times the compute the reference needs to reach the loss that the other "
        "arm has at C, both at their own best split, by the fitted laws; band: 95 %; thin line: "
        "equal compute. A flat line is a constant factor, a slope is a difference in scaling."
        + _open_ends(found)
        + _bounded(comparison),
        panels=tuple(panel(multiplier) for multiplier in found),
    )


def _open_ends(found: Sequence[Multiplier]) -> str:
    """Which part of a band has no end, for the caption."""
    parts = []
    for m in found:
        for end, values, reason in (
            ("upper", m.high, f"in some draws {m.reference} never reaches the loss of {m.group}"),
            ("lower", m.low, f"in some draws {m.reference} reaches it with next to no compute"),
        ):
            at = m.flops[~np.isfinite(on_log(values))]
            if len(at):
                where = (
                    "anywhere" if len(at) == len(m.flops)
                    else f"from {flops(at.min())} to {flops(at.max())} FLOPs"
                )  # fmt: skip
                parts.append(f" The band of {m.group} has no {end} end {where}: {reason}.")
    return "".join(parts) + (
        " There it runs to the edge, with hollow marks." if parts else ""
    )  # fmt: skip


def _bounded(comparison: Comparison | None) -> str:
    if comparison is None or "bounds_against_exact" not in {x.code for x in comparison.flags}:
        return ""
    return (
        " The bits per byte of one side are upper bounds: its true losses lie at or below them, so "
        "the true factor is more in its favour."
    )


def residuals_figure(study: Study) -> Drawing | None:
    arms = [arm for arm in study.arms.values() if arm.fit]
    if not arms:
        return None

    def panel(i: int, arm: Arm) -> Panel:
        fit = arm.fit
        assert fit
        worst = abs(fit.residuals).max()
        alt = f"residuals of {fit.n_runs} runs, the largest {100 * worst:.2g} %"
        return arm_panel("residuals", arm, i, alt, lambda ax: draw_residuals(ax, fit, arm.table))

    return Drawing(
        name="residuals",
        title="Residuals of the fits",
        caption="Measured over fitted loss. Without a pattern the form of the law fits; a size "
        "that stands off as a whole points at its learning rate, a bend at the law.",
        panels=tuple(panel(i, arm) for i, arm in enumerate(arms)),
    )
