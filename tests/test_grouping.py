"""Any setting in which the runs of a study differ can hold its groups."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from analysis.compare_groups import compare
from analysis.errors import AnalysisError
from analysis.table import Table, load_table
from scaling.cli import main
from scaling.spec import RunSpec
from tests.factories import make_spec
from tests.planted_runs import isoflop_frame
from tests.planted_sweep import write_sweep

ARM_SETTINGS = {"target_share": (1.0, 0.15), "attention": ("default", "bidirectional")}


def change_specs(root: Path, settings: dict[str, tuple[Any, Any]]) -> None:
    """Gives the runs of seed 0 the first value of each setting and those of seed 1 the second."""
    for path in root.glob("cells/*/record.json"):
        record = json.loads(path.read_text(encoding="utf-8"))
        seed = record["spec"]["seed"]
        record["spec"] |= {name: values[seed] for name, values in settings.items()}
        path.write_text(json.dumps(record), encoding="utf-8")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs")
    write_sweep(path, seeds=2)
    change_specs(path, ARM_SETTINGS)
    return path


@pytest.fixture(scope="module")
def table(root: Path) -> Table:
    return load_table(root / "planted", loss="bits_per_byte")


def scaling(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_every_field_of_the_spec_that_differs_is_a_column(table: Table) -> None:
    differ = {"arch", "target_share", "attention", "n_layer", "d_model", "d_ff"}
    assert differ == set(table.extra)
    assert differ | {"seed", "size", "objective", "budget_flops"} == set(table.group_columns)
    # Grouped by every one of them, each run is in one group.
    for name in table.group_columns:
        grouped = table.grouped_by(name)
        assert len(grouped.groups) == table.frame[name].nunique()
        assert sum(len(grouped.select(group=g).frame) for g in grouped.groups) == len(table.frame)


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(RunSpec)])
def test_no_field_of_the_spec_is_forgotten(field: str, tmp_path: Path) -> None:
    write_sweep(tmp_path)
    records = [json.loads(p.read_text()) for p in sorted(tmp_path.glob("cells/*/record.json"))]
    records = [r for r in records if r["spec"]["arch"] == "decoder"]
    plain = make_spec().to_dict()
    other = {int: 7, float: 0.5, str: "other"}[type(plain[field])]
    for i, record in enumerate(records):
        record["spec"] = {**plain, **record["spec"], field: (plain[field], other)[i % 2]}
        record["yardsticks"] = {"clm": "clm"}
    grouped = load_table(records, loss="bits_per_byte").grouped_by(field)
    assert len(grouped.groups) == 2


def test_a_field_that_older_specs_lack_stands_for_its_default(tmp_path: Path) -> None:
    write_sweep(tmp_path, seeds=2)
    paths = sorted(tmp_path.glob("cells/*/record.json"))
    records = [json.loads(path.read_text()) for path in paths]
    for record in records:
        if record["spec"]["seed"] == 1:
            record["spec"]["dropout"] = 0.1
    assert set(load_table(records).grouped_by("dropout").groups) == {"default", "0.1"}


def test_whole_numbers_have_no_point_and_columns_can_be_joined(table: Table) -> None:
    assert table.grouped_by("d_model").groups == ("32", "64", "80", "96")
    assert table.grouped_by("arch, target_share").groups == (
        "encoder/1", "encoder/0.15", "decoder/1", "decoder/0.15",
    )  # fmt: skip


def test_an_unknown_column_lists_those_that_there_are(table: Table) -> None:
    known = "columns to group by: arch, .*target_share, attention, size, seed"
    for name in ("colour", "mask_rate"):  # one that is no field, one that all runs share
        with pytest.raises(AnalysisError, match=rf"no column '{name}' \(--by\).*{known}"):
            table.grouped_by(name)


def test_pooled_arms_are_told_and_grouping_takes_them_apart(table: Table) -> None:
    assert any("differ in target_share (0.15, 1.0)" in note for note in table.notes)
    grouped = table.grouped_by("arch,target_share,attention")
    assert not any("pools runs" in note for note in grouped.notes)
    by_share = table.grouped_by("target_share").notes
    assert any("0.15, 1 pools" in n or "1, 0.15 pools" in n for n in by_share)
    assert not any("differ in target_share" in note for note in by_share)


def test_runs_without_a_value_are_listed_not_lost() -> None:
    frame = isoflop_frame().assign(corpus=np.where(np.arange(14) % 2, "c4", "owt"))
    frame.loc[3, "corpus"] = None
    table = load_table(frame).grouped_by("corpus")
    assert table.groups == ("owt", "c4")
    (row,) = table.excluded.to_dict("records")
    assert row["reason"] == "no value of corpus, by which the runs are grouped"


def test_other_columns_of_a_csv_can_hold_the_groups_later() -> None:
    frame = isoflop_frame().assign(corpus=np.where(np.arange(14) % 2, "c4", "owt"))
    table = load_table(frame)
    assert table.groups == ()
    assert table.group_columns == ("corpus",)
    assert any("differ in corpus; --by" in note for note in table.notes)
    assert table.grouped_by("corpus").groups == ("owt", "c4")
    # Two runs of equal numbers on two corpora are two runs.
    both = pd.concat([frame.assign(corpus="c4"), frame.assign(corpus="owt")])
    assert len(load_table(both).frame) == 28


def name_arms(root: Path) -> Path:
    """The sweep of `write_sweep` with two arms of the decoder, one per seed, and one encoder."""
    folder = write_sweep(root, seeds=2)
    change_specs(root, {"target_share": (1.0, 0.15)})
    listing = json.loads((folder / "cells.json").read_text(encoding="utf-8"))
    for cell in listing["cells"]:
        labels = cell["labels"]
        arm = "mlm-15" if labels.pop("arch") == "encoder" else ("clm", "clm-15")[labels["seed"]]
        labels["arm"] = arm
    (folder / "cells.json").write_text(json.dumps(listing), encoding="utf-8")
    return folder


def test_the_arms_of_a_sweep_are_its_groups(tmp_path: Path) -> None:
    """Two arms of one architecture are two groups, in runs, curves and cells without a run."""
    table = load_table(name_arms(tmp_path), loss="bits_per_byte")
    assert table.by == "arm"
    assert set(table.groups) == {"clm", "clm-15", "mlm-15"}
    assert set(table.curve_points["group"]) == set(table.groups)
    assert set(table.excluded["group"]) == {"clm", "mlm-15"}
    for arm, share in (("clm", 1.0), ("clm-15", 0.15)):
        own = table.select(group=arm)
        assert set(own.frame["target_share"]) == {share}
        assert set(own.curve_points["run_id"]) == set(own.frame["run_id"])
    # The arms can be had back after another grouping, and beside it.
    assert table.grouped_by("seed").grouped_by("arm").groups == table.groups
    assert "clm-15/1" in table.grouped_by("arm,seed").groups
    assert set(table.grouped_by("arch").groups) == {"encoder", "decoder"}


def test_the_column_that_names_the_groups_of_a_csv_can_be_asked_for() -> None:
    both = load_table(pd.concat([isoflop_frame().assign(arm=arm) for arm in ("x", "y")]))
    assert both.by == "arm"
    assert both.grouped_by("arm").groups == ("x", "y")
    with pytest.raises(AnalysisError, match="no column 'arch'"):
        both.grouped_by("arch")


@pytest.mark.parametrize("by", ["target_share", "attention", "seed"])
def test_fit_groups_a_sweep_by_a_setting(root: Path, by: str) -> None:
    arguments = ("fit", "planted", "--root", root, "--n-boot", 0, "--loss", "bits_per_byte")
    result = scaling(*arguments, "--by", f"arch,{by}", "--json")
    assert result.exit_code == 0, result.stderr
    names = [str(value) for value in {**ARM_SETTINGS, "seed": (0, 1)}[by]]
    names = [name.removesuffix(".0") for name in names]
    assert set(json.loads(result.stdout)["fits"]) == {
        f"{arch}/{name}" for arch in ("encoder", "decoder") for name in names
    }


def test_compare_takes_the_same_groups(table: Table) -> None:
    found = compare(table, "arch,target_share", laws=(), n_boot=100)
    assert found.by == "arch,target_share"
    assert set(found.groups) == {"encoder/1", "encoder/0.15", "decoder/1", "decoder/0.15"}


@pytest.mark.slow
def test_a_study_is_of_the_groups_that_were_asked_for(root: Path, tmp_path: Path) -> None:
    """Two arms of one architecture, whose bits per byte are compared in the same groups."""
    listing = json.loads((root / "planted/cells.json").read_text(encoding="utf-8"))
    listing["cells"] = [c for c in listing["cells"] if c["labels"]["arch"] == "decoder"]
    folder = root / "decoders"
    folder.mkdir()
    (folder / "cells.json").write_text(json.dumps(listing), encoding="utf-8")
    arguments = ("plot", folder, "--by", "target_share", "--n-boot", 100, "--out", tmp_path)
    result = scaling(*arguments, "--figure", "bits-per-byte", "--figure", "multiplier")
    assert result.exit_code == 0, result.stderr
    for figure, groups in (("bits-per-byte", {"1.0", "0.15"}), ("multiplier", {"0.15"})):
        drawn = pd.read_csv(tmp_path / f"{figure}.csv")
        assert {str(float(group)) for group in drawn["series"]} == groups


def test_runs_of_no_group_are_printed(root: Path) -> None:
    arguments = ("fit", "planted", "--root", root, "--n-boot", 0, "--by", "arch,d_model")
    result = scaling(*arguments, "--law", "compute")
    assert result.exit_code == 0, result.stderr
    assert "excluded, in no group: cell " in result.stdout
    assert "excluded by the sweep: 0.01 tokens per parameter" in result.stdout
