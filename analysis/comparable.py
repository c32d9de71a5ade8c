"""Which losses of a table may stand on one envelope: readings taken at one stage of a schedule.

A reading on the plateau of a warm-up-stable-decay schedule lies above the loss that the same run
would have after a cool-down at that point, so plateau readings and cooled-down ends never share an
envelope. Where runs cool down, their ends are compared: the runs of one size at several horizons
make one curve. Where they keep a constant rate, every reading after the warm-up is comparable with
every other. A table that does not say the learning rate of a reading is taken as it is, and the
result says that nobody knows whether it may be.

Source: Hoffmann et al. 2022, arXiv:2203.15556, section 3.1 (schedules that end before the run does
overestimate the loss); Haegele et al. 2024, arXiv:2405.18392 (cool-down ends against plateaus).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.budgets import budgets_of
from analysis.errors import AnalysisError
from analysis.table import Table

Basis = Literal["cooled-down ends", "constant learning rate", "unknown schedule"]

# A run whose last reading is taken below this share of its peak rate has cooled down.
_COOLED = 0.5
# A reading at this share of the peak rate is neither warming up nor cooling down.
_AT_PEAK = 0.999


@dataclass(frozen=True, kw_only=True, slots=True)
class Readings:
    """Losses that may be compared at equal FLOPs.

    Attributes:
        frame: one row per reading, sorted by curve and FLOPs: curve, the column of N, train_tokens,
            train_flops, loss.
        basis: what makes them comparable.
        left_out: what was not taken, with the reason, one sentence each.
    """

    frame: pd.DataFrame
    basis: Basis
    left_out: tuple[str, ...]

    @property
    def unit(self) -> str:
        """What one curve stands for: a size at several horizons, or one run."""
        return "size" if self.basis == "cooled-down ends" else "run"


def comparable_readings(table: Table, split: str = "validation") -> Readings:
    """The readings of one group that may stand on one envelope.

    Args:
        table: runs of one group on one yardstick, with curves.
        split: whose readings of the curves are looked at.
    Raises:
        AnalysisError: no curves, several groups or yardsticks, or no size has two horizons.
    """
    points = _points(table, split)
    if "learning_rate" not in points or points["learning_rate"].isna().any():
        return Readings(frame=_tidy(points, table), basis="unknown schedule", left_out=())
    rate = points["learning_rate"].to_numpy(dtype=float)
    by_run = points["learning_rate"].groupby(points["run_id"])
    peak = by_run.transform("max").to_numpy(dtype=float)
    is_cooled = by_run.transform("last").to_numpy(dtype=float) < _COOLED * peak
    if is_cooled.any():
        return _ends(table, set(points["run_id"][is_cooled]))
    if not table.has_readings:
        raise AnalysisError(
            f"{table.columns['loss']} is known of the end of a run alone, and no run cools down: "
            "ends of a constant learning rate make no envelope; take the token loss"
        )
    warm = rate < _AT_PEAK * peak
    left_out = (f"{int(warm.sum())} readings of the warm-up",) if warm.any() else ()
    return Readings(
        frame=_tidy(points[~warm], table), basis="constant learning rate", left_out=left_out
    )


def _points(table: Table, split: str) -> pd.DataFrame:
    """The curves' readings of one split in the order of FLOPs, finite and positive."""
    if len(table.groups) > 1 or len(table.loss_kinds) > 1:
        raise AnalysisError(
            f"an envelope is of one group on one yardstick; the table holds groups "
            f"{', '.join(map(str, table.groups)) or '-'} and losses {table.yardstick}: select one"
        )
    points = table.curves()
    points = points[points["run_id"].isin(table.frame["run_id"])]
    at_split = points[points["split"] == split]
    if at_split.empty:
        known = ", ".join(sorted(points["split"].unique()))
        raise AnalysisError(f"the curves have no split {split!r}; they have {known or 'none'}")
    loss, flops = (at_split[c].to_numpy(dtype=float) for c in ("loss_nats", "train_flops"))
    is_good = (np.isfinite(loss) & (loss > 0)) | (not table.has_readings)
    good = at_split.iloc[np.flatnonzero(is_good & (flops > 0))]
    return good.sort_values(["run_id", "train_flops"], kind="stable")


def _tidy(points: pd.DataFrame, table: Table) -> pd.DataFrame:
    n_column = table.columns["n"]
    frame = points[["run_id", n_column, "train_tokens", "train_flops", "loss_nats"]]
    return frame.rename(columns={"run_id": "curve", "loss_nats": "loss"}).reset_index(drop=True)


def _ends(table: Table, cooled: set[str]) -> Readings:
    """One curve per size through the ends of its runs; seeds of a horizon are averaged."""
    n_column = table.columns["n"]
    keep = table.frame["run_id"].isin(cooled).to_numpy()
    ends = pd.DataFrame({
        n_column: table.values("n"), "train_tokens": table.values("d"),
        "train_flops": budgets_of(table), "loss": table.values("loss"),
    })[keep]  # fmt: skip
    ends = ends.groupby([n_column, "train_flops"], as_index=False).mean()
    horizons = ends.groupby(n_column)["train_flops"].transform("size").to_numpy()
    left_out = _left_out(keep, int((horizons < 2).sum()))
    ends = ends[horizons >= 2]
    if ends.empty:
        raise AnalysisError(
            "no size has cooled-down runs at two horizons, so no curve joins comparable losses; "
            "add horizons"
        )
    ends = ends.assign(curve=[f"N = {n:.0f}" for n in ends[n_column]])
    columns = ["curve", n_column, "train_tokens", "train_flops", "loss"]
    ends = ends.sort_values([n_column, "train_flops"])[columns].reset_index(drop=True)
    return Readings(frame=ends, basis="cooled-down ends", left_out=left_out)


def _left_out(keep: NDArray[np.bool_], alone: int) -> tuple[str, ...]:
    found = ["readings before the end of a run, which lie above a cooled-down loss"]
    if (~keep).any():
        found.append(f"{int((~keep).sum())} runs that did not cool down")
    if alone:
        found.append(f"{alone} sizes with a single horizon")
    return tuple(found)
