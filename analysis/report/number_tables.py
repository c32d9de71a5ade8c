"""Tables of a report's headline numbers: the arms side by side, and a by every approach."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from analysis.arm import Arm
from analysis.report.views import Cell, Head, TableView, estimate_cell, table_view
from analysis.study import Study
from analysis.style import CSS_VARIABLES, DOUBTFUL, count, flops, loss_label, loss_unit, number

# Quantity of the surface fit -> what it is; the unit of E, A and B is that of the arm's own loss.
_PARAMETERS = {
    "alpha": "α, exponent of N in the loss",
    "beta": "β, exponent of D in the loss",
    "a": "a of the loss surface, N* ∝ C^a",
    "b": "b of the loss surface, D* ∝ C^b",
    "E": "E, loss that no size or data removes",
    "A": "A, scale of the size term",
    "B": "B, scale of the data term",
}
_IN_OWN_YARDSTICK = ("E", "A", "B")


def arm_head(arm: Arm, unit: str = "") -> Head:
    return Head(text=arm.name, unit=unit, numeric=True, key=CSS_VARIABLES[arm.mark.colour])


def arms_table(study: Study) -> TableView:
    """One column per arm; losses stand in the arm's own yardstick, named in its column."""
    arms = list(study.arms.values())
    own = "own yardstick" if len(study.table.loss_kinds) > 1 else ""
    rows: list[tuple[str, str, Callable[[Arm], Cell]]] = [
        ("Runs", "used, and excluded", _runs),
        ("Sizes", study.table.labels["n"], partial(_range, role="n", words=count)),
        ("Budgets", study.table.labels["c"], partial(_range, role="c", words=flops)),
        ("Lowest loss", own, _lowest_loss),
        ("a of the isoFLOP minima", "N* ∝ C^a", _isoflop_a),
    ]
    if "bits_per_byte" in study.table.frame:
        rows.insert(4, ("Lowest bits per byte", "the shared yardstick", _lowest_bits))
    for name, meaning in _PARAMETERS.items():
        note = f"{own}: do not compare" if own and name in _IN_OWN_YARDSTICK else ""
        rows.append((meaning, note, partial(_parameter, name=name)))
    rows.append(("Status of the fit", "", _status))
    heads = [Head(text="Quantity"), *(arm_head(a, loss_label(a.table.yardstick)) for a in arms)]
    return table_view(
        "The arms side by side, with 95 % intervals",
        heads,
        [[Cell(text=name, small=note), *map(make, arms)] for name, note, make in rows],
    )


def _runs(arm: Arm) -> Cell:
    return Cell(text=str(len(arm.table.frame)), small=f"{len(arm.table.excluded)} excluded")


def _range(arm: Arm, *, role: str, words: Callable[[float], str]) -> Cell:
    values = arm.table.values(role)
    return Cell(text=words(float(values.min())), small=f"to {words(float(values.max()))}")


def _lowest_loss(arm: Arm) -> Cell:
    lowest = float(arm.table.values("loss").min())
    return Cell(text=number(lowest, 4), small=loss_unit(arm.table.yardstick))


def _lowest_bits(arm: Arm) -> Cell:
    known = arm.table.frame.dropna(subset="bits_per_byte")
    if known.empty:
        return Cell(text="–")
    best = known.iloc[int(known["bits_per_byte"].to_numpy(float).argmin())]
    kind = best.get("bits_per_byte_kind")
    return Cell(text=bits(best["bits_per_byte"], kind), small=bits_kind(kind))


def _isoflop_a(arm: Arm) -> Cell:
    if arm.isoflop is None:
        return Cell(text="–", small="see its report card")
    note = DOUBTFUL if arm.isoflop_doubts else ""
    return estimate_cell(arm.isoflop.exponents["a"], note)


def _status(arm: Arm) -> Cell:
    return Cell(
        text=arm.fit.status if arm.fit else "not fitted",
        small="" if arm.fit else "see its report card",
    )


def bits(value: float, kind: object) -> str:
    """An upper bound is never printed without its sign."""
    return f"{'≤ ' if kind == 'upper_bound' else ''}{number(float(value), 4)}"


def bits_kind(kind: object) -> str:
    return {"upper_bound": "upper bound", "exact": "exact"}.get(str(kind), "")


def _parameter(arm: Arm, *, name: str) -> Cell:
    if arm.fit is None:
        return Cell(text="–")
    estimate = arm.fit.estimates.get(name) or arm.fit.derived.get(name)
    return estimate_cell(estimate, DOUBTFUL if arm.surface_doubts(name) else "")


def approaches_table(study: Study) -> TableView:
    """The exponent of N* by every approach: one row each, and the difference of two arms."""
    arms = list(study.arms.values())
    comparison = study.comparison
    differences = comparison.differences if comparison else ()
    others = [g for g in comparison.groups if g != comparison.reference] if comparison else []
    heads = [Head(text="Approach"), *(arm_head(arm) for arm in arms)]
    heads += [
        Head(text=f"{group} − {comparison.reference}", numeric=True)
        for group in others if comparison
    ]  # fmt: skip
    names = dict.fromkeys(x.name for arm in arms for x in arm.agreement.approaches)
    rows = []
    for name in names:
        cells = [Cell(text=name)]
        for arm in arms:
            found = arm.agreement.named(name)
            doubt = DOUBTFUL if found and found.doubts else ""
            cells.append(estimate_cell(found.a if found else None, doubt))
        for group in others:
            own = [d for d in differences if d.group == group and d.approach == name]
            sound = bool(own) and own[0].is_sound
            cells.append(estimate_cell(own[0].estimate if own else None, "" if sound else DOUBTFUL))
        rows.append(cells)
    return table_view(
        "Exponent a of N* ∝ C^a by every approach, with 95 % intervals; the reasons for doubts "
        "stand under Checks",
        heads,
        rows,
    )
