"""fit_law: a scaling law from a table of runs, with intervals and with what to doubt about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from analysis.bootstrap import Draws, bootstrap
from analysis.diagnose import (
    bounds_touched,
    condition_number,
    flags_of_condition,
    flags_of_delta,
    flags_of_design,
    flags_of_intervals,
    flags_of_noise,
    flags_of_search,
)
from analysis.errors import AnalysisError
from analysis.estimates import LEVEL, disagreements, make_estimates
from analysis.inputs import Runs, read_runs
from analysis.laws import LAWS, law_for
from analysis.laws.law import Floats, Law
from analysis.profile import Profile, profile_intervals, reported
from analysis.result import FitResult
from analysis.search import Search, delta_sensitivity, search
from analysis.values import Flag, Status
from analysis.working import Working, working_fit

if TYPE_CHECKING:
    from analysis.table import Table

Objective = Literal["huber", "l1", "ls"]


def fit_law(
    table: pd.DataFrame | Table,
    law: str = "chinchilla",
    *,
    n: str | None = None,
    d: str | None = None,
    c: str | None = None,
    u: str | None = None,
    loss: str | None = None,
    objective: Objective = "huber",
    delta: float = 1e-3,
    intervals: Literal["bootstrap"] | None = "bootstrap",
    cluster: str = "size",
    n_boot: int = 1000,
    seed: int = 0,
    weights: str | ArrayLike | None = None,
) -> FitResult:
    """Fits a scaling law to the log loss of runs.

    Args:
        table: one row per run; a Table, or a DataFrame whose axes are finite and positive. Rows
            with a `status` other than "done" are listed as excluded.
        law: a key of `analysis.laws.LAWS`; E is 0 where the loss is an excess over the optimum.
        n, d, c, u, loss: columns of N, D, C, unique tokens and loss. None takes the Table's
            roles, else params_non_embedding, train_tokens, train_flops, unique_tokens, loss_nats.
        objective: what is summed (never averaged) over runs: Huber's loss of the residuals of log
            loss ("huber"), their size ("l1") or half their square ("ls").
        delta: where Huber's loss turns linear, in units of log loss.
        intervals: None leaves them out.
        cluster: what is resampled: "size" (a distinct N), "run", "seed" (sizes, then seeds within
            them), or a column. A law without N, in a table without N, falls back to runs.
        n_boot: draws behind the bootstrap intervals.
        weights: None, "seeds" (inverse variance between replicates, by size), a column, or one
            positive number per usable row.
    Raises:
        AnalysisError: the table or an argument cannot be used; one line with the remedy.
    Source: Hoffmann et al. 2022, arXiv:2203.15556, section 3.3, for the objective.

    >>> from analysis import fit_law, load_table
    >>> from analysis.examples import planted_runs
    >>> fit = fit_law(load_table(planted_runs()), "chinchilla", n_boot=100)
    >>> fit.status
    'ok'
    >>> alpha = fit.estimate("alpha")
    >>> alpha.interval.low < 0.34 < alpha.interval.high
    True
    >>> best = fit.optimal(1e21)
    >>> f"{best.params.value:.2g} params, {best.tokens_per_param:.0f} tokens per parameter"
    '3.2e+09 params, 17 tokens per parameter'
    """
    _check(law, objective, delta, intervals, n_boot)
    roles = {} if isinstance(table, pd.DataFrame) else table.columns
    chosen = law_for(law, loss or roles.get("loss"))
    columns = {"n": n, "d": d, "c": c, "u": u, "loss": loss}
    runs = read_runs(table, chosen, columns=columns, cluster=cluster, weights=weights)
    found = search(runs, objective, delta)
    working = working_fit(found.problem, found.theta, runs)
    draws: Draws | None = None
    profiles: dict[str, Profile] = {}
    if intervals is not None:
        draws = bootstrap(
            found.problem, found.theta, found.other_start,
            runs=runs, working=working, n_draws=n_boot, seed=seed,
        )  # fmt: skip
        profiles = profile_intervals(runs, working, level=LEVEL)
    return _result(runs, found, working, draws, profiles, objective, delta, seed)


def _check(law: str, objective: str, delta: float, intervals: str | None, n_boot: int) -> None:
    if law not in LAWS:
        raise AnalysisError(f"law={law!r} is not known; take one of: {', '.join(LAWS)}")
    if objective not in ("huber", "l1", "ls"):
        raise AnalysisError(f"objective={objective!r} is not known; take huber, l1 or ls")
    if not (np.isfinite(delta) and delta > 0):
        raise AnalysisError(f"delta={delta} must be finite and positive; the usual one is 1e-3")
    if intervals not in (None, "bootstrap"):
        raise AnalysisError(f"intervals={intervals!r} is not known; take 'bootstrap' or None")
    if n_boot < 100:
        raise AnalysisError(
            f"n_boot={n_boot} draws are too few for 95 % intervals; take at least 100"
        )


def _result(
    runs: Runs,
    found: Search,
    working: Working,
    draws: Draws | None,
    profiles: dict[str, Profile],
    objective: Objective,
    delta: float,
    seed: int,
) -> FitResult:
    law = runs.law
    estimates, derived = make_estimates(law, found.theta, runs, draws, profiles)
    numbers = {**estimates, **derived}
    sensitivity = delta_sensitivity(found, runs, objective, delta)
    flags = [
        *flags_of_design(runs),
        *flags_of_search(found, law),
        *flags_of_condition(working),
        *flags_of_noise(working),
        *flags_of_intervals(law, numbers, profiles, draws),
        *disagreements(law, numbers),
        *flags_of_delta(sensitivity, numbers),
    ]
    sizes = runs.clusters[0] if runs.clusters else np.arange(runs.n_runs)
    return FitResult(
        law=law.name,
        formula=law.formula,
        source=law.source,
        axes=runs.axes,
        objective=objective,
        delta=delta if objective == "huber" else None,
        objective_value=found.objective_value,
        estimates=estimates,
        derived=derived,
        used=_used(runs, found),
        excluded=runs.excluded,
        cluster=runs.cluster,
        n_clusters=int(sizes.max()) + 1,
        noise=_noise(working, runs),
        start_share=found.start_share,
        n_starts=found.n_starts,
        gradient_norm=found.gradient_norm,
        start=_named(law, found.start, runs),
        end=_named(law, found.theta, runs),
        bounds_touched=bounds_touched(law, found.theta),
        condition_number=condition_number(working),
        delta_sensitivity=sensitivity,
        theta=found.theta,
        draws=draws.theta if draws else None,
        draws_method=draws.method if draws else None,
        draws_stretch=draws.stretch if draws else 1.0,
        scales=runs.scales,
        flags=tuple(flags),
        status=_status(flags),
        seed=seed,
    )


def _status(flags: list[Flag]) -> Status:
    severities = {flag.severity for flag in flags}
    if "failure" in severities:
        return "failed"
    return "flagged" if "warning" in severities else "ok"


def _named(law: Law, theta: Floats, runs: Runs) -> dict[str, float]:
    named = reported(law, theta[None], runs.scales)
    return {quantity.name: float(named[quantity.name][0]) for quantity in law.estimates}


def _noise(working: Working, runs: Runs) -> dict[str, float]:
    """Standard deviation of log loss by level: what runs share, and what is a run's own."""
    if working.components is None:
        return {}
    names = ["size", "seed"] if runs.cluster == "size and seed" else [runs.cluster]
    levels = [n for n, ids in zip(names, runs.clusters, strict=False)
              if any(ids is kept for kept in working.components.levels)]  # fmt: skip
    deviations = np.sqrt(np.maximum(working.components.variances, 0.0))
    return {name: float(x) for name, x in zip([*levels, "run"], deviations, strict=True)}


def _used(runs: Runs, found: Search) -> pd.DataFrame:
    """The fitted runs in the order of the table."""
    value, _ = runs.law.model(found.theta[None], runs.log_axes)
    fitted = value[0] * runs.scales["loss"]
    cluster = runs.clusters[0] if runs.clusters else np.arange(runs.n_runs)
    frame = pd.DataFrame({
        "run": runs.names,
        **runs.values,
        "fitted": fitted,
        "residual": np.log(runs.values["loss"]) - np.log(np.maximum(fitted, 1e-300)),
        "weight": runs.weight,
        "cluster": cluster,
    })  # fmt: skip
    return frame.iloc[np.argsort(runs.position)].reset_index(drop=True)
