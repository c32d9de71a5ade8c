"""The envelope of training curves: a planted law, and the published protein models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.curve_frontier import frontier
from analysis.errors import AnalysisError
from analysis.table import load_table
from tests.planted_runs import LAW, isoflop_frame, law_loss

A_TRUE = LAW["beta"] / (LAW["alpha"] + LAW["beta"])


def _curves(noise: float = 0.0) -> pd.DataFrame:
    """Constant-rate training: the loss at any point of a curve is the law's."""
    rng = np.random.default_rng(0)
    parts = []
    for i, n in enumerate(np.geomspace(1e6, 3e9, 25)):
        d = np.geomspace(1e7, 3e11, 300)
        loss = law_loss(np.full_like(d, n), d) * np.exp(noise * rng.standard_normal(len(d)))
        parts.append(pd.DataFrame({"run": f"run{i}", "N": n, "D": d, "C": 6 * n * d, "loss": loss}))
    return pd.concat(parts, ignore_index=True)


def test_a_planted_law_is_found() -> None:
    result = frontier(load_table(_curves()), flops_range=(1e16, 1e20), smoothing=1)
    assert result.exponents["a"].value == pytest.approx(A_TRUE, abs=0.01)
    assert result.exponents["b"].value == pytest.approx(1 - A_TRUE, abs=0.01)


@pytest.mark.parametrize(("group", "published"), [("CLM", 0.557), ("MLM", 0.760)])
def test_published_exponents_of_protein_models(
    shared_data: Path, group: str, published: float
) -> None:
    table = load_table(shared_data / "laws/protein_mlm_clm/curves.csv.gz").select(group=group)
    result = frontier(table, flops_range=(1e19, 1e21))
    assert result.exponents["a"].value == pytest.approx(published, abs=0.01)
    assert "schedule_unknown" in {flag.code for flag in result.flags}
    # The published values have no interval; runs drawn anew move the exponent by this much.
    assert result.exponents["a"].interval is not None
    assert result.exponents["a"].interval.width > 0.1
    assert "range_given" in {flag.code for flag in result.flags}


def test_only_flops_with_a_bracketed_best_size_are_fitted() -> None:
    result = frontier(load_table(_curves(noise=0.001)))
    inside = result.points["train_flops"].between(*result.flops_range)
    assert result.flops_range[0] == result.points["train_flops"][result.points["bracketed"]].min()
    assert not result.points["bracketed"].all()
    assert set(result.points["params_opt"][inside & result.points["bracketed"]]) <= set(
        np.exp(np.log(np.geomspace(1e6, 3e9, 25)))[1:-1]
    ) | set(result.points["params_opt"])
    assert result.exponents["a"].value == pytest.approx(A_TRUE, abs=0.06)


def test_a_run_counts_from_its_first_reading_on() -> None:
    points = _curves()
    late = points[(points["N"] < 1e8) | (points["C"] > 1e18)]
    found = frontier(load_table(late), flops_range=(1e16, 1e20), smoothing=1).points
    assert found["params_opt"][found["train_flops"] < 1e17].max() < 1e8


def test_short_curves_are_not_averaged() -> None:
    points = _curves()
    few = points[points.groupby("run").cumcount() % 30 == 0]
    assert frontier(load_table(few), flops_range=(1e17, 1e20)).smoothing == 1
    assert frontier(load_table(points), flops_range=(1e17, 1e20)).smoothing == 10


def test_tables_without_curves_say_what_is_needed() -> None:
    with pytest.raises(AnalysisError, match="no training curves"):
        frontier(load_table(isoflop_frame()))
    with pytest.raises(AnalysisError, match="no split 'train'"):
        frontier(load_table(_curves()), split="train")


def test_mixed_yardsticks_have_no_common_envelope(shared_data: Path) -> None:
    with pytest.raises(AnalysisError, match="select one"):
        frontier(load_table(shared_data / "laws/protein_mlm_clm/curves.csv.gz"))
