"""Losses over the Bayes optimum: one yardstick for all objectives, and laws without a floor."""

from __future__ import annotations

import copy
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from analysis.comparable import comparable_readings
from analysis.compare_groups import compare
from analysis.errors import AnalysisError
from analysis.fit import fit_law
from analysis.laws import FITTED, LAWS
from analysis.rolling_holdout import holdout
from analysis.table import load_table
from scaling.cli import main
from tests.planted_sweep import LAWS as PLANTED
from tests.planted_sweep import true_loss, write_sweep


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Done runs whose optimum is the planted E of their architecture: excess is a pure power."""
    root = tmp_path_factory.mktemp("runs")
    write_sweep(root, noise=0.0)
    rng = np.random.default_rng(5)
    found = []
    for path in sorted(root.glob("cells/*/record.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        for loss in record["losses"].values():
            optimal = PLANTED[record["spec"]["arch"]]["E"]
            excess = loss["nats_per_target"] - optimal
            noisy = excess * np.exp(0.003 * rng.standard_normal())
            loss |= {"nats_per_target": optimal + noisy, "optimal_nats_per_target": optimal,
                     "excess_standard_error": 0.001}  # fmt: skip
        found.append(record)
    return found


@pytest.fixture(scope="module")
def folder(records: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same runs as the folder of a sweep."""
    root = tmp_path_factory.mktemp("stored")
    folder = write_sweep(root, noise=0.0)
    for record in records:
        path = root / "cells" / record["run_id"] / "record.json"
        path.write_text(json.dumps(record), encoding="utf-8")
    return folder


def scaling(command: str, *arguments: object) -> str:
    result = CliRunner().invoke(main, [command, *map(str, arguments), "--loss", "excess"])
    assert result.exit_code == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize("arch", PLANTED)
def test_a_law_over_the_optimum_has_no_floor_and_finds_the_planted_exponents(
    records: list[dict[str, Any]], arch: str
) -> None:
    table = load_table(records, loss="excess").select(group=arch)
    assert table.loss_kinds == ("excess",)
    assert "Bayes optimum" in table.labels["loss"]
    fit = fit_law(table, "chinchilla", n_boot=100)
    assert "E" not in fit.estimates
    assert "E = 0" in fit.formula
    for name in ("alpha", "beta"):
        estimate = fit.estimate(name)
        assert estimate.interval is not None
        assert estimate.interval.low < PLANTED[arch][name] < estimate.interval.high
        assert estimate.value == pytest.approx(PLANTED[arch][name], rel=0.05)
    best = fit.optimal(1e13).loss.value
    assert 0 < best < table.values("loss").max()


def test_objectives_stand_on_one_yardstick_over_the_optimum(
    records: list[dict[str, Any]],
) -> None:
    raw = compare(load_table(records), laws=("chinchilla",), methods=(), n_boot=100)
    assert raw.refusal
    assert not raw.multipliers
    over = compare(load_table(records, loss="excess"), laws=("chinchilla",), methods=(), n_boot=100)
    assert not over.refusal
    assert over.multipliers
    assert over.joint is not None
    assert [level.name for level in over.joint.levels] == ["one law", "own A, B", "all own"]


def test_without_an_optimum_it_is_refused_in_one_line(records: list[dict[str, Any]]) -> None:
    bare = copy.deepcopy(records)
    for record in bare:
        for loss in record["losses"].values():
            del loss["optimal_nats_per_target"]
    with pytest.raises(AnalysisError, match="no Bayes optimum is recorded") as caught:
        load_table(bare, loss="excess")
    assert "\n" not in str(caught.value)
    mixed = load_table([*records[1:], bare[0]], loss="excess")
    assert "no Bayes optimum is recorded" in " ".join(mixed.excluded["reason"])


def test_a_hold_out_over_the_optimum_predicts_by_laws_without_a_floor(
    records: list[dict[str, Any]],
) -> None:
    table = load_table(records, loss="excess").select(group="decoder")
    # At this noise a law without its term of the wrong form predicts within a few percent.
    assert holdout(table, laws=("chinchilla",)).ranking["error"].iloc[0] < 0.05


@pytest.mark.parametrize("name", [name for name in LAWS if f"{name}_without_floor" in FITTED])
def test_its_gradient_is_that_of_the_law_without_the_column_of_e(name: str) -> None:
    law, whole = FITTED[f"{name}_without_floor"], LAWS[name]
    rng = np.random.default_rng(0)
    theta = rng.uniform(0.2, 0.8, (3, len(law.parameters)))
    axes = {role: rng.normal(size=6) for role in law.axes}
    value, slope = law.model(theta, axes)
    padded = np.hstack([np.zeros((3, 1)), theta])
    expected, gradient = whole.model(padded, axes)
    np.testing.assert_array_equal(value, expected)
    np.testing.assert_array_equal(slope, gradient[:, 1:])
    assert "E" not in law.names


# Through the commands


def test_fit_and_predict_are_those_of_the_planted_powers(folder: Path) -> None:
    fits = json.loads(scaling("fit", folder, "--n-boot", 0, "--json"))["fits"]
    options = ("--params", 1e5, "--tokens", 1e8, "--n-boot", 100, "--json")
    rows = json.loads(scaling("predict", folder, *options))["predictions"]
    assert [row["group"] for row in rows] == list(PLANTED)
    for arch, row in zip(PLANTED, rows, strict=True):
        law = PLANTED[arch]
        assert fits[arch]["estimates"]["alpha"]["value"] == pytest.approx(law["alpha"], rel=0.05)
        expected = true_loss(arch, 1e5, 1e8) - law["E"]
        assert row["yardstick"] == "excess"
        assert row["loss"]["value"] == pytest.approx(expected, rel=0.02)


def test_compare_says_who_needs_how_much_more_compute_over_the_optimum(folder: Path) -> None:
    found = json.loads(scaling("compare", folder, "--n-boot", 100, "--json"))
    assert found["levels_not_compared"] is None
    assert set(found["yardsticks"].values()) == {"excess"}
    (sentence,) = [v["sentence"] for v in found["verdicts"] if "times the compute" in v["sentence"]]
    assert sentence.startswith("decoder needs less compute: at 3.2·10¹³ FLOPs encoder needs 2.")


def test_plot_draws_the_excess_and_its_envelope_and_no_curves(folder: Path, tmp_path: Path) -> None:
    figures = ("--figure", "loss-over-flops", "--figure", "curves")
    said = scaling("plot", folder, *figures, "--out", tmp_path, "--n-boot", 100)
    # A reading before the end of a run has no optimum of its own.
    assert "curves: not drawn" in said
    drawn = pd.read_csv(tmp_path / "loss-over-flops.csv")
    ends = drawn[drawn["element"] == "run"]
    table = load_table(folder, loss="excess")
    assert sorted(ends["y"]) == pytest.approx(sorted(table.values("loss")))
    assert (drawn["element"] == "envelope").any()
    assert drawn["y"].max() <= table.values("loss").max()


@pytest.mark.slow
def test_a_report_over_the_optimum_names_its_yardstick(folder: Path, tmp_path: Path) -> None:
    said = scaling("report", folder, "--out", tmp_path, "--n-boot", 100)
    assert "excess over the Bayes optimum (E = 0), nats per target" in said
    assert "Training curves" not in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_the_envelope_of_the_excess_is_through_the_ends_of_runs_that_cool_down(
    folder: Path,
) -> None:
    table = load_table(folder, loss="excess").select(group="encoder")
    readings = comparable_readings(table)
    assert readings.basis == "cooled-down ends"
    assert set(readings.frame["loss"]) == set(table.values("loss"))
    points = table.curve_points.assign(learning_rate=0.004)
    constant = dataclasses.replace(table, curve_points=points)
    with pytest.raises(AnalysisError, match="excess_nats is known of the end of a run alone"):
        comparable_readings(constant)


def test_real_runs_on_ordinary_text_are_refused() -> None:
    folder = Path(__file__).parents[1] / "analysis" / "reference" / "quickstart"
    with pytest.raises(AnalysisError, match="no Bayes optimum is recorded"):
        load_table(folder, loss="excess")
