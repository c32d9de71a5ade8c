"""Every approach on random tables, on shuffled ones, and in other units.

A random table gives numbers, or a flag that says which is missing and why, or one line; never a
traceback, a warning or a NaN without a word. `tests/test_fit.py` has the random tables of fit_law.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analysis import AnalysisError, compare, fit_law, frontier, holdout, isoflop, load_table
from analysis.examples import planted_runs
from analysis.laws import LAWS
from analysis.table import Table
from analysis.values import Estimate

# What makes a test quick: few draws, the laws that differ most.
APPROACHES: dict[str, Callable[[Table], Any]] = {
    "akima": lambda table: isoflop(table, n_boot=100),
    "parabola": lambda table: isoflop(table, method="parabola", n_boot=100),
    "holdout": lambda table: holdout(table, laws=("chinchilla", "tied", "compute")),
    "frontier": lambda table: frontier(table, n_boot=30),
    "comparison": lambda table: compare(
        table, laws=("tied",), methods=("akima",), with_joint=False, n_boot=100
    ),
}


def estimates_of(result: Any) -> dict[str, Estimate]:
    if hasattr(result, "exponents"):
        return dict(result.exponents)
    if hasattr(result, "differences"):
        return {x.approach: x.estimate for x in result.differences if x.estimate is not None}
    return dict(getattr(result, "estimates", {}))


def numbers_of(result: Any) -> dict[str, float]:
    """Every number that a reader may quote, by name."""
    numbers = {name: estimate.value for name, estimate in estimates_of(result).items()}
    for name, estimate in estimates_of(result).items():
        if estimate.interval is not None:
            numbers |= {
                f"{name} low": estimate.interval.low,
                f"{name} high": estimate.interval.high,
            }
    if hasattr(result, "ranking"):
        numbers |= dict(zip(result.ranking["law"], result.ranking["error"], strict=True))
    return numbers


def readings(table: pd.DataFrame, per_run: int = 8) -> pd.DataFrame:
    """Each run as a curve whose last reading is the run; the curves of equal N differ in length."""
    rows = []
    for i, run in enumerate(table.to_dict("records")):
        for share in np.geomspace(0.02, 1.0, per_run):
            loss = run["loss"] * (1 + 0.3 * (1 - share))
            rows.append({**run, "run": f"r{i}", "D": run["D"] * share, "C": run["C"] * share,
                         "loss": loss})  # fmt: skip
    return pd.DataFrame(rows)


def table_for(approach: str, frame: pd.DataFrame) -> pd.DataFrame:
    if approach == "frontier":
        return readings(frame)
    if approach == "comparison":
        return frame.assign(arm=np.where(np.arange(len(frame)) % 2, "x", "y"))
    return frame


# A comparison and a hold-out fit laws many times over.
COSTLY = ("comparison", "holdout")


def each(names: Iterable[str]) -> list[Any]:
    return [pytest.param(n, marks=pytest.mark.slow if n in COSTLY else ()) for n in names]


# Random tables


RANDOM = {
    "seed": st.integers(0, 2**32 - 1),
    "n_runs": st.integers(1, 40),
    "n_sizes": st.integers(1, 9),
    "n_budgets": st.integers(1, 6),
    "span": st.floats(0.0, 8.0),
    "level": st.floats(-6.0, 6.0),
    "roughness": st.sampled_from([0.0, 1e-9, 0.01, 1.0, 4.0]),
    "on_grid": st.booleans(),
}


def random_runs(
    seed: int, n_runs: int, n_sizes: int, n_budgets: int, span: float, level: float,
    roughness: float, on_grid: bool,
) -> pd.DataFrame:  # fmt: skip
    """Sizes and budgets over up to eight decades, any level, from constant to nonsense."""
    rng = np.random.default_rng(seed)
    sizes, budgets = (
        10 ** (5 + span * rng.random(n_sizes)),
        10 ** (15 + span * rng.random(n_budgets)),
    )
    n, c = rng.choice(sizes, n_runs), rng.choice(budgets, n_runs)
    if not on_grid:
        c = c * 10 ** rng.random(n_runs)
    loss = np.exp(level + roughness * rng.standard_normal(n_runs))
    return pd.DataFrame({"N": n, "D": c / (6 * n), "C": c, "loss": loss})


def check_random(approach: str, options: Mapping[str, Any]) -> None:
    frame = table_for(approach, random_runs(**options))
    refusal = ""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            result = APPROACHES[approach](load_table(frame))
            assert str(result) + result._repr_html_()
        except AnalysisError as error:
            refusal = str(error)
    if refusal:
        assert "\n" not in refusal
        assert len(refusal) > 20
        return
    words = " ".join(flag.message for flag in result.flags)
    for name, value in numbers_of(result).items():
        if np.isnan(value) and approach == "holdout":
            # A law that could not be fitted at any cut says why.
            reasons = result.errors.set_index("law").loc[[name], "reason"]
            assert (reasons != "").all()
        else:
            assert not np.isnan(value), (name, words)


@pytest.mark.parametrize("approach", each(APPROACHES))
def test_random_tables(approach: str) -> None:
    @settings(max_examples=12, deadline=None, derandomize=True)
    @given(**RANDOM)
    def check(**options: Any) -> None:
        check_random(approach, options)

    check()


@pytest.mark.slow
@pytest.mark.parametrize("approach", APPROACHES)
def test_many_random_tables(approach: str) -> None:
    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(**RANDOM)
    def check(**options: Any) -> None:
        check_random(approach, options)

    check()


# Order and units


def of_law(law: str) -> Callable[[Table], Any]:
    return lambda table: fit_law(table, law, intervals=None)


ALL = {**APPROACHES, **{law: of_law(law) for law in LAWS}}


def planted(approach: str) -> pd.DataFrame:
    frame = planted_runs(sizes=tuple(np.geomspace(4e6, 3e9, 12)))
    frame["unique_tokens"] = np.minimum(frame["D"], 2e10)
    return table_for(approach, frame)


@pytest.mark.parametrize("approach", each(ALL))
def test_the_order_of_rows_changes_nothing(approach: str) -> None:
    frame = planted(approach)
    if approach == "comparison":
        # The reference is the group that stands first; name it, so that the order cannot.
        run = lambda table: compare(  # noqa: E731
            table, reference="x", laws=("tied",), methods=("akima",), with_joint=False, n_boot=100
        )
    else:
        run = ALL[approach]
    one = numbers_of(run(load_table(frame)))
    for seed in range(2):
        mixed = frame.sample(frac=1.0, random_state=seed)
        assert numbers_of(run(load_table(mixed))) == pytest.approx(one, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("approach", each(ALL))
def test_units_move_no_exponent(approach: str) -> None:
    frame = planted(approach)
    units = {"N": 1e6, "D": 1e9, "C": 8.64e19, "unique_tokens": 1e9}
    other = frame.assign(**{name: frame[name] / unit for name, unit in units.items()})
    one, two = (ALL[approach](load_table(f)) for f in (frame, other))
    if approach in LAWS:
        both = {**one.estimates, **one.derived}
        names = [name for name, estimate in both.items() if estimate.unit == "1"]
        assert names
        values = [{n: fit.value(n) for n in names} for fit in (one, two)]
    else:
        values = [numbers_of(result) for result in (one, two)]
    assert values[1] == pytest.approx(values[0], abs=1e-6)
