"""Cells that could be trained next: affordable, new, and within the limits of the sweep."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from analysis.errors import AnalysisError
from analysis.laws.law import Floats
from analysis.style import flops
from analysis.sweep_limits import SweepLimits
from analysis.table import Table

# Tokens per parameter that are tried, per size. They stay within those of the table: a design by
# the law alone would go to where no law holds, such as runs that end in their warm-up.
_RATIOS = 16
# N and D within this of a run that is there: it would be the same run again.
_SAME = 0.02


def sizes_of(table: Table) -> dict[str, float]:
    """Names of the sizes and their N; the number itself where the table has no names."""
    frame = table.frame
    if "size" in frame:
        by_name = frame.groupby("size")[table.columns["n"]].median()
        return {str(name): float(n) for name, n in by_name.items()}
    return {str(n): float(n) for n in np.unique(table.values("n"))}


def candidate_cells(
    table: Table,
    sizes: Mapping[str, float],
    budget_flops: float,
    rule: Callable[[Floats, Floats], Floats] | None,
) -> pd.DataFrame:
    """Affordable cells that are not there yet."""
    n, d = table.values("n"), table.values("d")
    ratios = np.geomspace((d / n).min(), (d / n).max(), _RATIOS)
    rows = [(name, size, size * ratio) for name, size in sizes.items() for ratio in ratios]
    frame = pd.DataFrame(rows, columns=["size", "params", "train_tokens"])
    params, tokens = frame["params"].to_numpy(), frame["train_tokens"].to_numpy()
    cost = 6 * params * tokens if rule is None else rule(params, tokens)
    near = np.abs(np.log(params[:, None] / n)) + np.abs(np.log(tokens[:, None] / d)) < _SAME
    keep = (cost <= budget_flops) & ~near.any(axis=1)
    if not keep.any():
        raise AnalysisError(
            f"no cell costs less than {flops(budget_flops)} FLOPs; the cheapest costs "
            f"{flops(cost.min())}: raise the budget"
        )
    return frame.assign(train_flops=cost).iloc[np.flatnonzero(keep)].reset_index(drop=True)


def cells_within(
    candidates: pd.DataFrame, limits: SweepLimits | None, budget_flops: float
) -> tuple[pd.DataFrame, dict[str, int]]:
    """The cells that the sweep would train, and how many each of its rules leaves out."""
    if limits is None or "size" not in candidates:
        return candidates, {}
    broken = [
        limits.broken(str(size), tokens)
        for size, tokens in zip(candidates["size"], candidates["train_tokens"], strict=True)
    ]
    left_out = {rule: broken.count(rule) for rule in dict.fromkeys(broken) if rule}
    kept = candidates.iloc[[i for i, rule in enumerate(broken) if not rule]]
    if kept.empty:
        raise AnalysisError(
            f"no cell that costs less than {flops(budget_flops)} FLOPs keeps to the sweep's limits "
            f"({listed_rules(left_out)}): raise the budget or widen the limits"
        )
    return kept.reset_index(drop=True), left_out


def listed_rules(left_out: Mapping[str, int]) -> str:
    return ", ".join(f"{count} for {rule}" for rule, count in left_out.items())
