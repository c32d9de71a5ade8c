"""Fits that a study makes once: the same where nothing that they read changed, and only there."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from analysis.errors import AnalysisError
from analysis.fit import fit_law
from analysis.shared_fits import SharedFits
from analysis.table import Table, load_table
from tests.planted_runs import grouped_frame


@pytest.fixture(scope="module")
def table() -> Table:
    frame = grouped_frame({"x": {}, "y": {"A": 300.0}}, noise=0.003)
    return load_table(frame.assign(params_non_embedding=0.9 * frame["params_total"]))


def test_another_count_of_flops_leaves_a_law_in_n_and_d_as_it_was(table: Table) -> None:
    fits = SharedFits()
    first = fits.fit_law(table, "chinchilla", n_boot=100)
    doubled = table.frame.assign(train_flops_6nd=2 * table.values("c"))
    recounted = _with_frame(table, doubled).with_columns(c="train_flops_6nd")
    again = SharedFits()
    assert again.fit_law(_with_frame(table, doubled), "chinchilla", n_boot=100) is again.fit_law(
        recounted, "chinchilla", n_boot=100
    )
    known = fits.fit_law(table, "chinchilla", n_boot=100)
    assert known is first
    direct = fit_law(table, "chinchilla", n_boot=100)
    np.testing.assert_array_equal(known.theta, direct.theta)
    assert known.estimates == direct.estimates


def test_whatever_a_fit_reads_makes_another_one(table: Table) -> None:
    fits = SharedFits()
    first = fits.fit_law(table, "chinchilla", n_boot=100)
    loss = table.frame["loss_nats"].to_numpy(float).copy()
    loss[3] *= 1.01
    others = (
        fits.fit_law(table, "chinchilla", n_boot=100, seed=1),
        fits.fit_law(table, "chinchilla", n_boot=100, objective="ls"),
        fits.fit_law(table, "tied", n_boot=100),
        fits.fit_law(_with_frame(table, table.frame.assign(loss_nats=loss)), "chinchilla",
                     n_boot=100),
        fits.fit_law(table.exclude(np.arange(len(loss)) == 0, "a try"), "chinchilla", n_boot=100),
        fits.fit_law(table.with_columns(n="params_non_embedding"), "chinchilla", n_boot=100),
    )  # fmt: skip
    assert len({id(fit) for fit in (first, *others)}) == 1 + len(others)


def test_a_fit_by_compute_is_another_one_under_another_count(table: Table) -> None:
    doubled = _with_frame(table, table.frame.assign(train_flops_6nd=2 * table.values("c")))
    fits = SharedFits()
    first = fits.fit_law(doubled, "compute", n_boot=100)
    second = fits.fit_law(doubled.with_columns(c="train_flops_6nd"), "compute", n_boot=100)
    assert second.estimate("k").value != first.estimate("k").value


def test_joint_fits_are_shared_alike_and_errors_are_not_kept(table: Table) -> None:
    fits = SharedFits()
    first = fits.fit_jointly(table, "chinchilla", n_boot=0)
    assert fits.fit_jointly(table, "chinchilla", n_boot=0) is first
    assert fits.fit_jointly(table, "chinchilla", n_boot=19) is not first
    for _ in range(2):
        with pytest.raises(AnalysisError, match="is not known"):
            fits.fit_law(table, "gravity")


def _with_frame(table: Table, frame: pd.DataFrame) -> Table:
    return dataclasses.replace(table, frame=frame)
