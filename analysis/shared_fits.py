"""SharedFits: fits made once where the parts of a study look at the same runs in several ways.

Another count of C leaves a law in N and D as it was, and the first variant of a sensitivity study
is often its baseline. A fit is the same where the runs, the columns that the law reads with their
labels, and the choices are the same; anything else that a table holds does not enter it.
"""

from __future__ import annotations

from typing import Any, cast

import pandas as pd

from analysis.fit import fit_law
from analysis.joint import fit_jointly
from analysis.joint_result import JointResult
from analysis.laws import FITTED
from analysis.result import FitResult
from analysis.table import Table


class SharedFits:
    """Fits by what they were made of, for the length of one study."""

    def __init__(self) -> None:
        self._laws: dict[object, FitResult] = {}
        self._joint: dict[object, JointResult] = {}

    def fit_law(self, table: Table, law: str, **choices: Any) -> FitResult:
        """`analysis.fit.fit_law`, or its result from before."""
        key = (law, _content(table, law), tuple(sorted(choices.items())))
        if key not in self._laws:
            self._laws[key] = fit_law(table, law, **choices)
        return self._laws[key]

    def fit_jointly(self, table: Table, law: str, **choices: Any) -> JointResult:
        """`analysis.joint.fit_jointly`, or its result from before."""
        key = (law, _content(table, law), tuple(sorted(choices.items())))
        if key not in self._joint:
            self._joint[key] = fit_jointly(table, law=law, **choices)
        return self._joint[key]


def _content(table: Table, law: str) -> object:
    """What a fit of `law` to `table` is made of, as a key."""
    roles = [*(FITTED[law].axes if law in FITTED else ()), "loss"]
    read = tuple((role, table.columns.get(role), table.labels.get(role)) for role in roles)
    return (read, table.by, _rows(table.frame), _rows(table.excluded))


def _rows(frame: pd.DataFrame) -> object:
    """Every cell of a frame, as a key."""
    return cast(object, (tuple(frame.columns), frame.to_csv(index=False)))
