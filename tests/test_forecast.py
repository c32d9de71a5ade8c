"""The forecast of a sweep: kept as it was before training, and held against what was trained."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from analysis.report.forecast import forecast_check
from scaling.forecast import Outcome, outcome_line, outcomes, read_cells, write_forecast
from scaling.spec import RunSpec
from scaling.store import Store
from scaling.sweep import Sweep, expand
from tests.factories import make_record
from tests.test_cli import scaling
from tests.test_plan import plan_of
from tests.tiny_sweep import loader, write_tiny_sweep


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    return expand(write_tiny_sweep(tmp_path), loader(tmp_path))


@pytest.fixture
def store(sweep: Sweep, tmp_path: Path) -> Store:
    store = Store(tmp_path / "runs")
    store.write_sweep(sweep.name, sweep.source, sweep.to_dicts())
    for cell in sweep.cells:
        store.add(cell.spec)
    return store


def end(store: Store, spec: RunSpec, train_seconds: float, peak: int | None) -> None:
    claim = store.claim(spec.run_id)
    assert claim is not None
    record = make_record(spec)
    made = dataclasses.replace(
        record.provenance,
        train_seconds=train_seconds,
        peak_memory_bytes=peak,
        memory_at_start_bytes=None if peak is None else 1000,
    )
    store.publish(claim, dataclasses.replace(record, provenance=made))


def test_a_cell_keeps_the_forecast_that_was_made_before_it_was_trained(
    sweep: Sweep, store: Store
) -> None:
    first, second = (cell.spec for cell in sweep.cells)
    assert read_cells(store, "tiny") == []
    write_forecast(store, plan_of(sweep, store))
    end(store, first, 2 * 2560.0, 5000)

    class TwiceAsFast:
        def train_seconds(self, spec: RunSpec, tokens: int) -> float:
            return tokens / 2

    write_forecast(store, plan_of(sweep, store, clock=TwiceAsFast(), workers=3))
    kept, renewed = read_cells(store, "tiny")
    assert (kept["state"], kept["train_seconds"], kept["workers"]) == ("pending", 2560.0, 1)
    assert (renewed["train_seconds"], renewed["workers"]) == (3072 / 2, 3)
    end(store, second, 3072.0, None)
    found = outcomes(store, "tiny")
    assert [one.ratio for one in found] == [2.0, 2.0]
    assert [one.memory_bytes for one in found] == [4000, None]
    # Later plans come after the fact, and predict nothing.
    write_forecast(store, plan_of(sweep, store))
    assert [one.ratio for one in outcomes(store, "tiny")] == [2.0, 2.0]


def test_a_plan_of_what_is_done_is_no_prediction(sweep: Sweep, store: Store) -> None:
    for cell in sweep.cells:
        end(store, cell.spec, 1.0, None)
    write_forecast(store, plan_of(sweep, store))
    assert outcomes(store, "tiny") == []
    check = forecast_check(store.sweep_folder("tiny"))
    assert check.text.startswith("Nothing to compare: no cell that is done had a forecast")
    assert check.tables == ()


def test_the_line_gives_sums_the_median_ratio_and_its_range() -> None:
    values = [
        ("14k", 1800.0, 1800.0, 1, None, 2e12),
        ("25k", 900.0, 1800.0, 2, 10**6, 1e12),
        ("25k", 900.0, 3600.0, 1, 10**5, 1.5e12),
    ]
    found = [
        Outcome(
            size=size,
            forecast_seconds=forecast,
            seconds=seconds,
            devices=devices,
            memory_bytes=memory,
            spent_flops=spent,
            train_flops=2e12,
        )
        for size, forecast, seconds, devices, memory, spent in values
    ]
    assert outcome_line(found) == (
        "actual against forecast: 2.5 h (2.5 device-hours) against 75 min, median ratio 2.00 "
        "(1.00 to 4.00 over 3 cells); by size: 14k 1.00, 25k 3.00; training held at most 1MB; "
        "4.5e+12 FLOPs spent, 6e+12 as if each cell were trained from scratch"
    )
    assert "; memory not measured; 2e+12 FLOPs spent, 2e+12 as if" in outcome_line(found[:1])


def test_the_report_tells_ratio_and_memory_by_size(sweep: Sweep, store: Store) -> None:
    write_forecast(store, plan_of(sweep, store))
    first, second = (cell.spec for cell in sweep.cells)
    end(store, first, 2560.0, 5000)
    end(store, second, 3 * 3072.0, 2000)
    check = forecast_check(store.sweep_folder("tiny"))
    assert "2 cells took 3.27 hours of training" in check.text
    assert "has the median 2.00 and ranges from 1.00 to 3.00" in check.text
    ((row,),) = [table.rows for table in check.tables]
    assert [cell.text for cell in row[:3]] == ["decoder", "1x16x2", "2"]
    assert (row[5].text, row[5].small) == ("2.00", "1.00 to 3.00")
    assert row[7].text == "4k"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "The sweep holds no forecast (plan.json)"),
        ("{", "cannot be read"),
        ('{"schema_version": 99}', "schema version 99"),
    ],
)
def test_a_forecast_that_is_missing_or_broken_is_said(
    store: Store, content: str | None, why: str
) -> None:
    folder = store.sweep_folder("tiny")
    if content is not None:
        (folder / "plan.json").write_text(content)
    assert why in forecast_check(folder).text
    assert outcomes(store, "tiny") == []


def test_a_table_of_runs_has_no_forecast(tmp_path: Path) -> None:
    assert "A table of runs holds no forecast" in forecast_check(tmp_path / "runs.csv").text


def test_a_run_says_its_forecast_where_the_machine_was_measured_and_how_it_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Measured:
        def train_seconds(self, spec: RunSpec, tokens: int) -> float:
            return tokens / 1000

    root = tmp_path / "runs"
    path = write_tiny_sweep(tmp_path, train_tokens=2560)
    arguments: tuple[Any, ...] = ("run", path, "--root", root, "--wandb", "disabled")
    priced = ("--workers", 1, "--price-per-device-hour", "7200 EUR")
    monkeypatch.setattr("scaling.calibration.cached", lambda *given: Measured())
    result = scaling(*arguments, *priced)
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[0].startswith(
        "forecast: 1 cells left, 3 s of training with 1 workers, 0.00071 device-hours, 5.12 EUR, "
    )
    (actual,) = [line for line in lines if line.startswith("actual against forecast: ")]
    assert "against 3 s, median ratio " in actual
    assert "training held at most " in actual
    assert json.loads((root / "tiny" / "plan.json").read_text())["cells"][0]["state"] == "pending"
    again = scaling(*arguments)
    assert again.output == f"tiny: 1 of 1 cells are done, in {root / 'cells'}\n"


def test_a_run_never_waits_for_a_measurement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: Any, **options: Any) -> None:
        raise AssertionError("measured")

    monkeypatch.setattr("scaling.calibration.calibrate", fail)
    root = tmp_path / "runs"
    path = write_tiny_sweep(tmp_path, train_tokens=2560)
    result = scaling("run", path, "--root", root, "--wandb", "disabled")
    assert result.exit_code == 0, result.output
    assert "forecast" not in result.output.replace(str(root), "")
    found = json.loads((root / "tiny" / "plan.json").read_text())
    assert found["cells"][0]["train_seconds"] is None
    assert found["cells"][0]["own_flops"] > 0


def test_a_price_that_is_none_is_one_line(tmp_path: Path) -> None:
    from tests.test_cli import assert_one_line

    sweep = write_tiny_sweep(tmp_path)
    for command in ("plan", "run"):
        result = scaling(command, sweep, "--root", tmp_path, "--price-per-device-hour", "cheap")
        assert_one_line(result, "price_per_device_hour='cheap' is not a number with an optional")
