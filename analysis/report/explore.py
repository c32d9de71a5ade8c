"""What the interactive part of a report is drawn from: runs, curves, profiles and laws as JSON.

Every number is made here by the functions that make the static part; the script of the page only
draws, and evaluates a law that was fitted here at a budget that a reader types.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from analysis.arm import Arm
from analysis.choices import CONVENTIONS
from analysis.report.explore_laws import laws_of
from analysis.report.explore_numbers import numbers, text
from analysis.report.explore_profiles import profiles_of_arm
from analysis.study import Study
from analysis.style import CSS_VARIABLES, loss_label, loss_unit
from analysis.table import Table

SCHEMA_VERSION = 1
# Readings of one curve that are kept; ends stay.
_MOST_READINGS = 60


def explore_data(study: Study) -> dict[str, Any]:
    """Everything that the page's script reads; JSON without NaN or infinity.

    Returns:
        `arms`, `conventions` (role -> columns with labels, the table's own first), `runs` (one
        list per column), `curves` ([run, tokens, losses]), `profiles` and `laws`.
    """
    table = study.table
    arms = list(study.arms.values())
    columns = {role: _columns(table, role) for role in CONVENTIONS}
    runs = _runs(arms, columns)
    return {
        "schema_version": SCHEMA_VERSION,
        "arms": [_arm(arm) for arm in arms],
        "conventions": {
            role: [{"column": name, "label": table.labels.get(name, name)} for name in names]
            for role, names in columns.items()
        },
        "tokens_label": table.labels["d"],
        "runs": runs,
        "curves": _curves(table, runs),
        "profiles": [
            profile
            for index, arm in enumerate(arms)
            for profile in profiles_of_arm(arm, index, columns, study)
        ],
        "laws": [
            law for index, arm in enumerate(arms) for law in laws_of(arm, index, columns, study)
        ],
    }


def _columns(table: Table, role: str) -> list[str]:
    """The table's own column of a role, then the other conventions that it holds for every run."""
    own = table.columns[role]
    others = [
        name
        for name in CONVENTIONS[role]
        if name != own and name in table.frame and _is_usable(table.frame[name])
    ]
    return [own, *others]


def _is_usable(column: pd.Series) -> bool:
    values = column.to_numpy(dtype=float)
    return bool((np.isfinite(values) & (values > 0)).all())


def _arm(arm: Arm) -> dict[str, Any]:
    return {
        "name": arm.name,
        "colour": CSS_VARIABLES[arm.mark.colour],
        "marker": arm.mark.marker,
        "yardstick": arm.table.yardstick,
        "loss_label": loss_label(arm.table.yardstick),
        "loss_unit": loss_unit(arm.table.yardstick),
    }


def _runs(arms: list[Arm], columns: Mapping[str, list[str]]) -> dict[str, Any]:
    """Column -> one value per run of the fits, arm after arm."""
    frames = [arm.table.frame.assign(_arm=index) for index, arm in enumerate(arms)]
    frame = pd.concat(frames, ignore_index=True)
    first = arms[0].table.columns
    made: dict[str, Any] = {
        "id": [str(name) for name in frame["run_id"]],
        "arm": [int(index) for index in frame["_arm"]],
        "tokens": numbers(frame[first["d"]]),
        "loss": numbers(frame[first["loss"]]),
    }
    for name in {name for names in columns.values() for name in names}:
        made[name] = numbers(frame[name])
    for name in ("size", "seed"):
        if name in frame:
            made[name] = [text(value) for value in frame[name]]
    if "bits_per_byte" in frame and first["loss"] != "bits_per_byte":
        made["bits_per_byte"] = numbers(frame["bits_per_byte"])
        kinds = frame.get("bits_per_byte_kind", pd.Series([""] * len(frame)))
        made["is_bound"] = [int(kind == "upper_bound") for kind in kinds]
    return made


def _curves(table: Table, runs: Mapping[str, Any]) -> list[list[Any]]:
    """[index of the run, tokens, losses] of every curve, thinned to what a screen shows."""
    points = table.curve_points
    if not table.has_readings:
        return []
    if (points["split"] == "validation").any():
        points = points[points["split"] == "validation"]
    index_of = {name: index for index, name in enumerate(runs["id"])}
    found = []
    for run_id, curve in points.groupby("run_id", sort=False):
        if str(run_id) not in index_of:
            continue
        curve = curve.sort_values("train_tokens", kind="stable")
        keep = np.unique(np.linspace(0, len(curve) - 1, _MOST_READINGS).round().astype(int))
        curve = curve.iloc[keep]
        tokens, losses = numbers(curve["train_tokens"]), numbers(curve["loss_nats"])
        found.append([index_of[str(run_id)], tokens, losses])
    return found
