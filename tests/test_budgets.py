"""Which runs were meant to spend the same FLOPs."""

from __future__ import annotations

import numpy as np

from analysis.budgets import budgets_of, profiles_of
from analysis.noise import noise_of
from analysis.table import load_table
from tests.planted_runs import isoflop_frame


def test_a_dense_row_of_runs_does_not_become_one_budget() -> None:
    frame = isoflop_frame().iloc[np.repeat(0, 60)].reset_index(drop=True)
    frame["flops"] = np.geomspace(1e18, 1e19, 60)
    frame["params_total"] = np.geomspace(1e7, 1e8, 60)
    frame["tokens"] = frame["flops"] / frame["params_total"] / 6
    budgets = budgets_of(load_table(frame), tolerance=0.1)
    for budget in np.unique(budgets):
        flops = frame["flops"][budgets == budget]
        assert flops.max() / flops.min() <= 1.1**2 + 1e-9


def test_the_nominal_budget_wins_only_where_the_run_kept_to_it() -> None:
    frame = isoflop_frame().assign(budget=lambda f: f["flops"] * 1.04)
    frame.loc[0, "budget"] *= 3
    budgets = budgets_of(load_table(frame))
    np.testing.assert_allclose(budgets[1:], frame["budget"][1:])
    np.testing.assert_allclose(budgets[0], frame["flops"][0])


def test_repeats_of_a_size_are_averaged_and_counted() -> None:
    table = load_table(isoflop_frame(noise=0.01, seeds=3))
    profile = profiles_of(table, budgets_of(table))[1]
    rows = table.frame[np.isclose(table.frame["train_flops"], profile.flops)]
    np.testing.assert_allclose(profile.loss, rows.groupby("params_total")["loss_nats"].mean())
    assert set(profile.repeats) == {3}


def test_without_seeds_and_with_few_sizes_the_noise_is_unknown() -> None:
    table = load_table(isoflop_frame(sizes=np.geomspace(1e7, 1e8, 3)))
    noise = noise_of(table, budgets_of(table), None)
    assert noise.nats is None
    assert [flag.code for flag in noise.flags] == ["noise_unknown"]
    assert noise_of(table, budgets_of(table), 0.01).source == "given"
