"""What a fitted law says of round budgets: the page's calculator for print and without scripts."""

from __future__ import annotations

import math
from collections.abc import Iterator

from analysis.arm import Arm
from analysis.flops_rule import flops_rule
from analysis.report.views import Cell, Head, TableView, table_view
from analysis.study import Study
from analysis.style import count, flops, interval, number
from analysis.values import Estimate

# Decades beyond the dearest run, rounded up to a power of ten.
_BEYOND = (0, 1, 2, 3)


def budget_tables(study: Study) -> tuple[TableView, ...]:
    """One table: N*, D* and loss of every arm's law at powers of ten; none without a sound law."""
    top = math.ceil(math.log10(float(study.table.values("c").max())) - 1e-9)
    rows = [
        row
        for arm in study.arms.values()
        if arm.fit is not None and arm.fit.status != "failed"
        for row in _rows(arm, [10.0 ** (top + more) for more in _BEYOND])
    ]
    if not rows:
        return ()
    heads = (
        Head(text="Arm"), Head(text="C", unit="FLOPs", numeric=True),
        Head(text="N*", unit=study.table.labels["n"], numeric=True),
        Head(text="D*", unit=study.table.labels["d"], numeric=True),
        Head(text="loss", unit="own yardstick", numeric=True),
        Head(text="beyond the runs", unit="decades", numeric=True),
    )  # fmt: skip
    caption = (
        "The loss surface at round budgets, with 95 % intervals of the curve, which do not cover a "
        "law that is wrong"
    )
    return (table_view(caption, heads, rows),)


def _rows(arm: Arm, budgets: list[float]) -> Iterator[list[Cell]]:
    assert arm.fit is not None
    spent = arm.table.values("c")
    for budget in budgets:
        best = arm.fit.optimal(budget, train_flops=flops_rule(arm.table))
        if best.flags:
            why = best.flags[0].message
            yield [Cell(text=arm.name), Cell(text=flops(budget)), Cell(text="–", small=why),
                   Cell(text="–"), Cell(text="–"), Cell(text="–")]  # fmt: skip
            continue
        decades = max(0.0, math.log10(budget / spent.max()), math.log10(spent.min() / budget))
        yield [
            Cell(text=arm.name), Cell(text=flops(budget)), _count(best.params), _count(best.tokens),
            _loss(best.loss), Cell(text=number(decades, 2) if decades > 0 else "within"),
        ]  # fmt: skip


def _count(estimate: Estimate) -> Cell:
    box = estimate.interval
    small = f"[{count(box.low)}, {count(box.high)}]" if box else ""
    return Cell(text=count(estimate.value), small=small)


def _loss(estimate: Estimate) -> Cell:
    box = estimate.interval
    if box is None:
        return Cell(text=number(estimate.value, 4))
    text, _, ends = interval(estimate.value, box.low, box.high).partition(" ")
    return Cell(text=text, small=ends)
