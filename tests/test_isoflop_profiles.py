"""Minima per budget and their exponents: planted laws, Porian et al.'s published fits."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.budget_minimum import NOISE_METHOD
from analysis.errors import AnalysisError
from analysis.isoflop_profiles import TWO_LEVEL_METHOD, isoflop
from analysis.table import load_table
from tests.planted_runs import LAW, isoflop_frame

# Noise that Porian et al. redrew the losses with, recovered from the spread of the lowest loss
# in their optimal pairs.
PORIAN_NOISE = {"rw": 0.002, "owt2": 0.01}
CONFIGURATION = ["dataset", "hparams", "warmup", "decay", "param_count", "val"]

A_TRUE = LAW["beta"] / (LAW["alpha"] + LAW["beta"])


def test_all_fifteen_published_exponents_and_intervals(shared_data: Path) -> None:
    folder = shared_data / "laws/porian"
    published = pd.read_csv(folder / "published_fits.csv")
    names = published[CONFIGURATION].agg("/".join, axis=1)
    table = load_table(folder / "isoflop_points.csv", columns={"group": ",".join(CONFIGURATION)})
    assert len(table.groups) == 15
    for name, row in zip(names, published.to_dict("records"), strict=True):
        result = isoflop(table.select(group=name), noise_nats=PORIAN_NOISE[row["dataset"]])
        a = result.exponents["a"]
        assert a.value == pytest.approx(row["bs_median_weighted.n_exponent"], abs=0.003), name
        (interval,) = (i for i in a.intervals if i.method == NOISE_METHOD)
        assert interval.low == pytest.approx(row["boot_w.n_exponent.q025"], abs=0.01), name
        assert interval.high == pytest.approx(row["boot_w.n_exponent.q975"], abs=0.01), name


@pytest.mark.parametrize("method", ["parabola", "akima"])
def test_a_planted_law_is_found(method: str) -> None:
    table = load_table(isoflop_frame(sizes=np.geomspace(2e6, 3e9, 14)))
    result = isoflop(table, method=method)  # type: ignore[arg-type]
    # A parabola is only locally right about a law that is no parabola.
    tolerance = {"parabola": 0.03, "akima": 0.01}[method]
    assert result.exponents["a"].value == pytest.approx(A_TRUE, abs=tolerance)
    assert result.exponents["b"].value == pytest.approx(1 - A_TRUE, abs=tolerance)
    ratio = LAW["alpha"] * LAW["A"] / (LAW["beta"] * LAW["B"])
    best = ratio ** (1 / (LAW["alpha"] + LAW["beta"])) * (1e19 / 6) ** A_TRUE
    assert result.params_opt(1e19) == pytest.approx(best, rel=0.1)


def test_the_interval_covers_the_planted_exponent_at_its_level() -> None:
    hits = 0
    for seed in range(40):
        frame = isoflop_frame(sizes=np.geomspace(2e6, 3e9, 12), noise=0.002, seed=seed)
        a = isoflop(load_table(frame), n_boot=300, seed=seed).exponents["a"]
        assert a.interval is not None
        hits += a.interval.low <= A_TRUE <= a.interval.high
    assert hits >= 35


def test_units_of_the_columns_do_not_matter() -> None:
    frame = isoflop_frame(noise=0.001)
    scaled = frame.assign(params_total=frame["params_total"] / 1e6, tokens=frame["tokens"] / 1e9)
    a, b = (isoflop(load_table(f)).exponents["a"].value for f in (frame, scaled))
    assert a == pytest.approx(b, abs=1e-6)


def test_minima_at_an_end_of_the_sizes_are_refused_with_the_reason() -> None:
    table = load_table(isoflop_frame(sizes=np.geomspace(2e6, 3e8, 7), ratio=(0.01, 1e6)))
    result = isoflop(table)
    reasons = {round(np.log10(r.flops), 2): r.reason for r in result.refused}
    assert reasons[20.0] == "the lowest loss is at the largest size; add larger sizes"
    assert len(result.budgets) + len(result.refused) == 5
    assert {flag.code for flag in result.flags} >= {"budget_refused"}
    assert len(result.frame()) == 5


def test_a_parabola_that_opens_downward_is_refused() -> None:
    frame = isoflop_frame(sizes=np.geomspace(2e6, 3e9, 12))
    worst = frame["flops"] == frame["flops"].min()
    x = np.log(frame.loc[worst, "params_total"])
    frame.loc[worst, "loss"] = 5 - 0.1 * (x - x.mean()) ** 2
    result = isoflop(load_table(frame), method="parabola")
    assert [r.reason for r in result.refused] == [
        "the parabola opens downward; there is no minimum"
    ]


def test_budgets_with_two_sizes_are_refused_and_too_few_budgets_are_an_error() -> None:
    frame = isoflop_frame(sizes=np.geomspace(2e6, 3e9, 12))
    lowest = frame["flops"].min()
    few = frame[frame["flops"] == lowest].head(2)
    result = isoflop(load_table(pd.concat([few, frame[frame["flops"] != lowest]])))
    assert [r.n_sizes for r in result.refused] == [2]
    with pytest.raises(AnalysisError, match="0 of 1 budgets have a minimum; an exponent needs 2"):
        isoflop(load_table(few))


def test_every_reason_of_refusal_is_named_and_counted() -> None:
    frame = isoflop_frame(
        sizes=np.geomspace(2e6, 3e9, 12), budgets=np.geomspace(1e17, 1e20, 7), ratio=(0.1, 5e3)
    )
    budgets = sorted(frame["flops"].unique())
    x = np.log(frame["params_total"])
    for i, flops in enumerate(budgets):
        row = frame["flops"] == flops
        rises = {0: 1.0, 1: 1.0, 2: -1.0}.get(i)
        if rises is not None:
            frame.loc[row, "loss"] = 4 + 0.05 * rises * (x[row] - x.mean())
    large = frame["flops"].isin(budgets[3:6]) & (frame.groupby("flops").cumcount() > 1)
    alone = (frame["flops"] == budgets[6]) & (frame.groupby("flops").cumcount() > 0)
    frame = frame[~large & ~alone]
    with pytest.raises(AnalysisError, match="0 of 7 budgets have a minimum") as raised:
        isoflop(load_table(frame))
    message = str(raised.value)
    assert "3 x 2 sizes; a minimum needs 3: " in message
    assert "2 x the lowest loss is at the smallest size" in message
    assert "1 x the lowest loss is at the largest size" in message
    assert "1 x 1 size; a minimum needs 3: 10²⁰ FLOPs" in message
    assert sum(int(n) for n in re.findall(r"(\d+) x ", message)) == 7


def test_flops_within_rounding_of_a_budget_are_one_budget() -> None:
    frame = isoflop_frame(sizes=np.geomspace(2e6, 3e9, 12))
    rng = np.random.default_rng(0)
    exact = isoflop(load_table(frame))
    frame["flops"] *= 1 + 0.02 * rng.uniform(-1, 1, len(frame))
    rounded = isoflop(load_table(frame))
    assert len(rounded.budgets) == len(exact.budgets) == 5
    nominal = 10 ** (17 + 0.75 * ((np.log10(frame["flops"]) - 17) / 0.75).round(0))
    named = isoflop(load_table(frame.assign(budget=nominal)))
    assert len(named.budgets) == 5


def test_repeated_seeds_give_the_noise() -> None:
    frame = isoflop_frame(sizes=np.geomspace(2e6, 3e9, 12), noise=0.003, seeds=3)
    result = isoflop(load_table(frame))
    assert result.noise.source.startswith("repeated seeds")
    # The planted noise is relative; losses of the grid lie about 2.9.
    assert result.noise.nats == pytest.approx(0.003 * frame["loss"].mean(), rel=0.2)


def test_both_levels_are_reported_and_the_wider_is_printed() -> None:
    frame = isoflop_frame(sizes=np.geomspace(2e6, 3e9, 12), noise=0.002)
    a = isoflop(load_table(frame)).exponents["a"]
    assert {i.method for i in a.intervals} == {NOISE_METHOD, TWO_LEVEL_METHOD}
    assert a.interval is not None
    assert a.interval.width == max(i.width for i in a.intervals)


def test_mixed_yardsticks_and_groups_are_refused(shared_data: Path) -> None:
    table = load_table(shared_data / "laws/protein_mlm_clm/final_points.csv")
    with pytest.raises(AnalysisError, match="2 yardsticks"):
        isoflop(table)
    frame = isoflop_frame()
    halves = np.where(np.arange(len(frame)) % 2, "wide", "deep")
    with pytest.raises(AnalysisError, match="holds 2 groups"):
        isoflop(load_table(frame.assign(group=halves)))
