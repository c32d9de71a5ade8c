"""Next runs: the cells (N, D) that shrink the interval of a number most for a FLOPs budget.

Local optimal design by the Jacobian of the fitted law: c-optimal for one number, D-optimal for all
parameters together, built up greedily (Atkinson, Donev & Tobias 2007, Optimum Experimental
Designs, chapters 9-12). Runs of one size share an error where the fit found one, so that more
tokens at a size that is there already count for less than a new size.

Array axes: n runs, P free parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.candidate_cells import candidate_cells, cells_within, listed_rules, sizes_of
from analysis.design import ALL, Design
from analysis.errors import AnalysisError
from analysis.flops_rule import flops_rule
from analysis.laws import FITTED
from analysis.laws.law import Floats, Law
from analysis.profile import quantities
from analysis.result import FitResult
from analysis.style import flops
from analysis.sweep_limits import SweepLimits
from analysis.sweep_text import sweep_texts
from analysis.table import Table
from analysis.values import Flag

MAX_CELLS = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class NextRuns:
    """The chosen cells in the order of their choice.

    Attributes:
        cells: size (where the table names sizes), params, train_tokens, train_flops, and
            standard_error: of the number after this cell and those above it.
        quantity: the number whose interval shrinks; "all" for the parameters together, where the
            standard errors are their geometric mean over that of today.
        on_log: the number is a scale, its standard error is of its logarithm.
        standard_error_before, standard_error_after: predicted by the law, today and at the end.
        budget_flops, spent_flops: of the new runs.
        left_out: rule of the sweep -> candidate cells that break it and were not considered.
    """

    cells: pd.DataFrame
    quantity: str
    on_log: bool
    standard_error_before: float
    standard_error_after: float
    budget_flops: float
    spent_flops: float
    columns: dict[str, str]
    flags: tuple[Flag, ...]
    left_out: dict[str, int] = field(default_factory=dict)

    def sweep_files(self, parameters: Mapping[str, object], *, name: str) -> dict[str, str]:
        """W&B grid sweeps that train the cells: file name -> YAML.

        A grid is a product, so there is one file per set of token counts that sizes share.

        Args:
            parameters: the fixed parameters of the sweep, such as corpus, tokenizer, seq_len and
                arch; lists are axes of the grid.
        Raises:
            AnalysisError: the table does not name its sizes.
        """
        if "size" not in self.cells:
            raise AnalysisError(
                "the table does not name its sizes; give sizes={name: params} to next_runs"
            )
        tokens_of = {
            str(size): [int(tokens) for tokens in sorted(some)]
            for size, some in self.cells.groupby("size", sort=False)["train_tokens"]
        }
        return sweep_texts(tokens_of, parameters, name=name)


def next_runs(
    fit: FitResult,
    table: Table,
    budget_flops: float,
    *,
    quantity: str = "a",
    sizes: Mapping[str, float] | None = None,
    max_cells: int = MAX_CELLS,
    limits: SweepLimits | None = None,
) -> NextRuns:
    """Chooses cells for `budget_flops` in total.

    Args:
        fit: a law in N and D, fitted to `table`.
        quantity: a parameter or derived number of the law, or "all".
        sizes: name -> params in the fit's convention of N; None takes the sizes of the table.
        limits: of the sweep that would train the cells; cells that break one are left out.
    Raises:
        AnalysisError: the law has no such number or no N and D, the fit cannot say how sure it
            is, or no cell is affordable.
    """
    law = FITTED[fit.law]
    _check(fit, law, quantity, budget_flops)
    named = dict(sizes) if sizes else sizes_of(table)
    design = Design(fit, law, quantity)
    if not design.before > 0:
        raise AnalysisError(
            f"no run moves {quantity} at the fitted law, where a term is 0 or a parameter on its "
            "bound; look at the flags of the fit"
        )
    candidates = candidate_cells(table, named, budget_flops, flops_rule(table))
    candidates, left_out = cells_within(candidates, limits, budget_flops)
    slopes = design.slopes(candidates["params"], candidates["train_tokens"])
    cost = candidates["train_flops"].to_numpy(dtype=float)
    size_of = design.size_of(candidates["params"].to_numpy(dtype=float))
    runs = [
        _greedy(design, slopes, size_of, cost, budget_flops, max_cells, per_flop=per_flop)
        for per_flop in (True, False)
    ]
    picked, errors = min(runs, key=lambda run: run[1][-1] if run[1] else np.inf)
    cells = candidates.iloc[picked].reset_index(drop=True).assign(standard_error=errors)
    if sizes is None and "size" not in table.frame:
        cells = cells.drop(columns="size")  # N that no sweep can name
    return NextRuns(
        cells=cells, quantity=quantity, on_log=design.on_log,
        standard_error_before=design.before, standard_error_after=errors[-1],
        budget_flops=budget_flops, spent_flops=float(cells["train_flops"].sum()),
        columns=table.columns, flags=_flags(fit, table, cells, left_out), left_out=left_out,
    )  # fmt: skip


def _check(fit: FitResult, law: Law, quantity: str, budget_flops: float) -> None:
    fit.raise_for_status()
    if not {"n", "d"} <= set(law.axes) or "u" in law.axes:
        raise AnalysisError(f"the {fit.law} law is not in N and D alone; plan with chinchilla")
    known = [q.name for q in quantities(law)]
    if quantity != ALL and quantity not in known:
        raise AnalysisError(
            f"quantity={quantity!r} is no number of the {fit.law} law; it has "
            f"{', '.join(known)}, or {ALL}"
        )
    if not fit.noise:
        raise AnalysisError(
            f"{fit.n_runs} runs for {len(law.parameters)} parameters leave no noise to plan by; "
            "add any run first"
        )
    if not (np.isfinite(budget_flops) and budget_flops > 0):
        raise AnalysisError(f"budget_flops={budget_flops} must be finite and positive")


def _greedy(
    design: Design,
    slopes: Floats,
    size_of: NDArray[np.intp],
    cost: Floats,
    budget_flops: float,
    max_cells: int,
    *,
    per_flop: bool,
) -> tuple[list[int], list[float]]:
    """Adds the cell that shrinks the error most, per FLOP or as such, while it is affordable."""
    picked: list[int] = []
    errors: list[float] = []
    left, error = budget_flops, design.before
    known, clusters = design.used_slopes, design.clusters
    while len(picked) < max_cells:
        open_cells = [i for i in np.flatnonzero(cost <= left) if i not in picked]
        if not open_cells:
            break
        after = np.array([
            design.error(np.vstack([known, slopes[i]]), np.append(clusters, size_of[i]))
            for i in open_cells
        ])  # fmt: skip
        gain = np.log(error / np.maximum(after, 1e-300))
        best = int((gain / cost[open_cells] if per_flop else gain).argmax())
        chosen, error = open_cells[best], float(after[best])
        picked.append(int(chosen))
        errors.append(error)
        left -= cost[chosen]
        known = np.vstack([known, slopes[chosen]])
        clusters = np.append(clusters, size_of[chosen])
    return picked, errors


def _flags(
    fit: FitResult, table: Table, cells: pd.DataFrame, left_out: Mapping[str, int]
) -> tuple[Flag, ...]:
    flags = [Flag(
        code="local_design", severity="note",
        message="the cells are best if the fitted law holds; a wrong law wants runs where laws "
        "differ",
    )]  # fmt: skip
    dearest = table.values("c").max()
    beyond = int((cells["train_flops"] > dearest).sum())
    if beyond:
        flags.append(Flag(
            code="beyond_the_table", severity="note",
            message=f"{beyond} cells spend more than the dearest run so far "
            f"({flops(dearest)} FLOPs)",
        ))  # fmt: skip
    if left_out:
        flags.append(Flag(
            code="outside_limits", severity="note",
            message=f"{sum(left_out.values())} cells that the sweep itself would exclude were not "
            f"considered ({listed_rules(left_out)})",
        ))  # fmt: skip
    if fit.status != "ok":
        codes = ", ".join(sorted({flag.code for flag in fit.flags if flag.severity == "warning"}))
        flags.append(Flag(
            code="fit_flagged", message=f"the fit behind the plan is flagged ({codes})",
        ))  # fmt: skip
    return tuple(flags)
