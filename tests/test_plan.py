"""The plan: what each cell costs, and when all of them are done."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from scaling import accounting, calibration
from scaling.calibration import Speed, cached, calibrate, extremes
from scaling.errors import SweepError
from scaling.forecast import forecast_line
from scaling.plan import Plan, make_plan
from scaling.price import Price, parse_price
from scaling.spec import RunSpec
from scaling.store import Store
from scaling.sweep import Sweep, expand
from tests.factories import make_record
from tests.tiny_sweep import loader, write_tiny_sweep


class OneSecondPerToken:
    def train_seconds(self, spec: RunSpec, tokens: int) -> float:
        return float(tokens)


def plan_of(sweep: Sweep, store: Store, **changes: Any) -> Plan:
    """A plan with a second per token and devices of 10 GB."""
    options: dict[str, Any] = {"workers": 1, "clock": OneSecondPerToken()}
    return make_plan(sweep, store, **options | {"device_memory_bytes": 10**10} | changes)


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    path = write_tiny_sweep(tmp_path, arch=["decoder", "encoder"], limits={"min_steps": 10})
    return expand(path, loader(tmp_path))


def test_costs_are_the_exact_ones_and_a_trunk_is_paid_once(sweep: Sweep, tmp_path: Path) -> None:
    plan = plan_of(sweep, Store(tmp_path), workers=2, clock=None)
    for planned, cell in zip(plan.cells, sweep.cells, strict=True):
        per_token = accounting.train_flops_per_token(cell.spec)
        assert planned.train_flops == per_token * cell.spec.train_tokens
        taken_over = 0 if cell.depends_on is None else 2048
        assert planned.own_flops == per_token * (cell.spec.train_tokens - taken_over)
        assert planned.memory_bytes == accounting.memory_bytes(cell.spec)
        assert planned.params_total == accounting.params_total(cell.spec)
        assert planned.params_non_embedding == accounting.params_non_embedding(cell.spec)
        assert planned.train_seconds is None
    assert plan.left_seconds is None
    total = plan.to_dict()["total"]
    assert total["train_flops"] == sum(cell.train_flops for cell in plan.cells)
    assert json.loads(json.dumps(plan.to_dict())) == plan.to_dict()


@pytest.mark.parametrize(
    ("workers", "seconds"),
    # Two chains of 2560 + 3072 tokens; with three workers a chain is still one after another.
    [(1, 2 * 5632.0), (2, 5632.0), (3, 5632.0)],
)
def test_the_time_that_is_left(sweep: Sweep, tmp_path: Path, workers: int, seconds: float) -> None:
    plan = plan_of(sweep, Store(tmp_path), workers=workers)
    assert plan.left_seconds == seconds


def test_what_has_ended_takes_no_time(sweep: Sweep, tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = sweep.cells[0]
    store.add(first.spec)
    claim = store.claim(first.run_id)
    assert claim is not None
    store.publish(claim, make_record(first.spec))
    plan = plan_of(sweep, store, workers=1)
    assert plan.cells[0].state == "done"
    assert plan.left_seconds == 2 * 5632.0 - 2560


def test_hours_and_cost_are_those_of_what_is_left(sweep: Sweep, tmp_path: Path) -> None:
    plan = plan_of(sweep, Store(tmp_path), workers=4, price=Price(amount=3.0, unit="EUR"))
    # Four workers do not make it cheaper: an hour of each of them is paid.
    assert plan.left_device_hours == pytest.approx(2 * 5632 / 3600)
    total = plan.to_dict()["total"]
    assert total["left_cost"] == pytest.approx(3.0 * 2 * 5632 / 3600)
    assert plan.to_dict()["price_per_device_hour"] == {"amount": 3.0, "unit": "EUR"}
    assert forecast_line(plan).startswith(
        "4 cells left, 1.6 h of training with 4 workers, 3.1 device-hours, 9.39 EUR, at most "
    )
    unknown = plan_of(sweep, Store(tmp_path), clock=None, price=Price(amount=3.0))
    assert unknown.to_dict()["total"]["left_cost"] is None
    assert "device-hours" not in forecast_line(unknown)


def test_a_cell_that_no_device_holds_is_flagged(sweep: Sweep, tmp_path: Path) -> None:
    needed = max(accounting.memory_bytes(cell.spec) for cell in sweep.cells)
    assert plan_of(sweep, Store(tmp_path), device_memory_bytes=needed).too_large == []
    plan = plan_of(sweep, Store(tmp_path), device_memory_bytes=needed - 1)
    assert {cell.memory_bytes for cell in plan.too_large} == {needed}
    assert f"{len(plan.too_large)} do not fit the " in forecast_line(plan)


@pytest.mark.parametrize(
    ("given", "amount", "unit"),
    [(2.5, 2.5, ""), (3, 3.0, ""), ("2.5 EUR", 2.5, "EUR"), ("0.5$", 0.5, "$"),
     (" 2. Swiss francs ", 2.0, "Swiss francs")],
)  # fmt: skip
def test_a_price_is_a_number_and_maybe_a_unit(given: object, amount: float, unit: str) -> None:
    assert parse_price(given) == Price(amount=amount, unit=unit)


@pytest.mark.parametrize("given", ["EUR", "", "-1", -1, True, float("nan"), None, "1 [2J", []])
def test_what_is_no_price_is_said(given: object) -> None:
    with pytest.raises(SweepError, match=r"is not a number with an optional unit; write 2\.5 or"):
        parse_price(given)


def test_a_sweep_s_price_enters_no_run(sweep: Sweep, tmp_path: Path) -> None:
    changes = {"arch": ["decoder", "encoder"], "limits": {"min_steps": 10}}
    path = write_tiny_sweep(tmp_path, price_per_device_hour="2 EUR", **changes)
    priced = expand(path, loader(tmp_path))
    assert priced.price == Price(amount=2.0, unit="EUR")
    assert [cell.to_dict() for cell in priced.cells] == [cell.to_dict() for cell in sweep.cells]
    assert plan_of(priced, Store(tmp_path)).price == priced.price
    assert sweep.price is None
    with pytest.raises(SweepError, match="has several values, and no run depends on it"):
        expand(path, loader(tmp_path), overrides={"price_per_device_hour": [1, 2]})


def test_speed_between_two_shapes_follows_a_power_of_their_flops(tmp_path: Path) -> None:
    path = write_tiny_sweep(tmp_path, d_model=[16, 32, 64, 128], train_tokens=5120)
    specs = [cell.spec for cell in expand(path, loader(tmp_path)).cells]
    shapes = {calibration._key(spec): spec for spec in extremes(specs)}
    per_token = {spec.d_model: accounting.train_flops_per_token(spec) for spec in specs}
    # Planted: FLOPs per second grow as the square root of the FLOPs per token.
    measured = {key: 1e6 * per_token[spec.d_model] ** 0.5 for key, spec in shapes.items()}
    assert sorted(spec.d_model for spec in shapes.values()) == [16, 128]
    speed = Speed(measured, shapes)
    for spec in specs:
        expected = 1000 * per_token[spec.d_model] ** 0.5 / 1e6
        assert speed.train_seconds(spec, 1000) == pytest.approx(expected)
    assert speed.train_seconds(specs[0].replace(seq_len=64), 1000) is None


def test_the_machine_is_measured_once_by_real_training(
    sweep: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibration, "SECONDS", 0.5)
    monkeypatch.setattr(calibration, "_LEAST_SECONDS", 0.5)
    store = Store(tmp_path)
    specs = [cell.spec for cell in sweep.cells]
    assert cached(store, specs, workers=2) is None
    said: list[str] = []
    speed = calibrate(store, specs, workers=2, say=said.append)
    assert said
    assert all(line.startswith("measuring this machine, ") for line in said)
    seconds = [speed.train_seconds(spec, 1_000_000) for spec in specs]
    # One core does between 1e7 and 1e13 FLOPs a second: a wrong unit would be out of that.
    for spec, found in zip(specs, seconds, strict=True):
        assert found is not None
        assert 1e7 < 1_000_000 * accounting.train_flops_per_token(spec) / found < 1e13

    def fail(*arguments: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr(calibration, "_measure", fail)
    again = calibrate(store, specs, workers=2)
    assert [again.train_seconds(spec, 1_000_000) for spec in specs] == seconds
    known = cached(store, specs, workers=2)
    assert known is not None
    assert [known.train_seconds(spec, 1_000_000) for spec in specs] == seconds
    elsewhere = cached(store, specs, workers=1)
    assert elsewhere is not None
    assert elsewhere.train_seconds(specs[0], 1) is None
