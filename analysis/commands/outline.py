"""A study in plain values, for whoever shows it elsewhere: sentences, tables, figures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analysis.arm import Arm
    from analysis.values import Estimate


def outline(source: Path, folder: Path, figures: tuple[str, ...], n_boot: int) -> dict[str, Any]:
    """Fits the runs of a sweep folder.

    Args:
        folder: where the PNGs of the figures are written.
        figures: names of those wanted; one that the table does not support is missing.
    Returns:
        `sentences`, `tables` (`fits` and `optima`, rows of the same columns), `missing` and
        `figures` (name -> PNG).
    """
    from analysis.plots.canvas import render, save_figure
    from analysis.plots.figures import FIGURES
    from analysis.report.words import lead
    from analysis.study import make_study
    from analysis.table import load_table

    study = make_study(source, load_table(source), n_boot=n_boot, with_checks=False)
    missing = dict(study.missing)
    for arm in study.arms.values():
        missing |= {f"{arm.name}, {part}": reason for part, reason in arm.missing.items()}
    drawn: dict[str, Path] = {}
    for name in figures:
        drawing = FIGURES[name](study)
        if drawing is None:
            missing[f"figure {name}"] = "the table does not hold what it needs"
            continue
        _, png, _ = save_figure(*render(drawing.panels), folder, name)
        drawn[name] = png
    arms = list(study.arms.values())
    return {
        "sentences": lead(study),
        "tables": {
            "fits": [row for arm in arms for row in _fits(arm)],
            "optima": [row for arm in arms for row in _optima(arm)],
        },
        "missing": missing,
        "figures": drawn,
    }


def _fits(arm: Arm) -> list[dict[str, Any]]:
    rows = []
    if arm.isoflop:
        doubts = "; ".join(map(str, arm.isoflop_doubts))
        rows += [
            _estimate(arm, "IsoFLOP minima", e, doubts) for e in arm.isoflop.exponents.values()
        ]
    if arm.fit:
        for named in (arm.fit.estimates, arm.fit.derived):
            for name, estimate in named.items():
                doubts = "; ".join(map(str, arm.surface_doubts(name)))
                rows.append(_estimate(arm, f"loss surface ({arm.fit.law})", estimate, doubts))
    return rows


def _estimate(arm: Arm, approach: str, found: Estimate, doubts: str) -> dict[str, Any]:
    box = found.interval
    return {
        "arm": arm.name,
        "approach": approach,
        "name": found.name,
        "value": float(found.value),
        "low": float(box.low) if box else None,
        "high": float(box.high) if box else None,
        "unit": found.unit,
        "in doubt": doubts,
    }


def _optima(arm: Arm) -> list[dict[str, Any]]:
    if arm.isoflop is None:
        return []
    rows = []
    for budget in arm.isoflop.budgets:
        box = budget.params_interval
        rows.append({
            "arm": arm.name, "train_flops": float(budget.flops),
            "params_opt": float(budget.params_opt),
            "params_low": float(box.low) if box else None,
            "params_high": float(box.high) if box else None,
            "tokens_opt": float(budget.tokens_opt), "loss_opt": float(budget.loss_opt),
            "note": "",
        })  # fmt: skip
    for refused in arm.isoflop.refused:
        rows.append({
            "arm": arm.name, "train_flops": float(refused.flops), "params_opt": None,
            "params_low": None, "params_high": None, "tokens_opt": None, "loss_opt": None,
            "note": refused.reason,
        })  # fmt: skip
    return rows
