"""The store: what has ended stays, what has not can be had by one worker at a time."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from scaling.claims import ClaimLost
from scaling.errors import StoreError
from scaling.record import Provenance, RunRecord, TermLoss
from scaling.spec import RunSpec
from scaling.store import Store, check_sweep_name
from tests.factories import make_spec


def make_record(spec: RunSpec, status: str = "done", **changes: Any) -> RunRecord:
    """A record of `spec` with round numbers."""
    done = status == "done"
    loss = TermLoss(nats_per_target=2.0, targets=100, standard_error=0.1)
    values: dict[str, Any] = {
        "run_id": spec.run_id,
        "spec": spec,
        "status": status,
        "reason": None if done else "planted",
        "yardsticks": {"clm": "clm"},
        "params": {"blocks": 10},
        "params_total": 10,
        "params_non_embedding": 10,
        "train_flops_per_token": 60.0,
        "train_flops": 60.0 * spec.train_tokens,
        "train_flops_6nd": 60.0 * spec.train_tokens,
        "tokens_seen": spec.train_tokens,
        "tokens_predicted": spec.train_tokens,
        "tokens_unique": 100,
        "losses": {"clm": loss} if done else {},
        "bits_per_byte": 2.5 if done else None,
        "bits_per_byte_kind": "exact" if done else None,
        "bits_per_byte_standard_error": 0.1 if done else None,
        "curve": (),
        "provenance": Provenance(
            wall_seconds=1.0,
            train_seconds=1.0,
            spent_flops=1.0,
            forked_from=None,
            attempts=1,
            device="cpu",
            versions={},
            git_commit=None,
            finished_at="2026-01-01T00:00:00+00:00",
        ),
    }
    return RunRecord(**values | changes)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


def add(store: Store, **changes: Any) -> RunSpec:
    spec = make_spec(**changes)
    store.add(spec)
    return spec


def test_a_cell_goes_from_pending_over_running_to_done(store: Store) -> None:
    spec = add(store)
    assert store.spec(spec.run_id) == spec
    assert store.state(spec.run_id) == "pending"
    claim = store.claim(spec.run_id)
    assert claim is not None
    assert store.state(spec.run_id) == "running"
    assert store.publish(claim, make_record(spec))
    assert store.state(spec.run_id) == "done"
    assert store.record(spec.run_id) == make_record(spec)
    assert store.claim(spec.run_id) is None


def test_a_second_result_is_refused_and_listed(store: Store) -> None:
    spec = add(store)
    claim = store.claim(spec.run_id)
    assert claim is not None
    # Another worker's result arrives between the fence and the link.
    (claim.folder / "record.json").write_text(make_record(spec).to_json())
    late = make_record(spec, bits_per_byte=9.0)
    assert not store.publish(claim, late)
    assert store.record(spec.run_id) == make_record(spec)
    assert store.refused() == [f"{spec.run_id}.000001.json"]


def test_a_worker_that_was_taken_over_publishes_nothing(store: Store) -> None:
    spec = add(store)
    claim = store.claim(spec.run_id)
    assert claim is not None
    claim.end("died")
    assert store.claim(spec.run_id) is not None
    with pytest.raises(ClaimLost):
        store.publish(claim, make_record(spec))
    assert store.state(spec.run_id) == "running"


@pytest.mark.parametrize("status", ["failed", "diverged", "out_of_memory", "timeout"])
def test_retry_moves_what_failed_aside(store: Store, status: str) -> None:
    spec = add(store)
    claim = store.claim(spec.run_id)
    assert claim is not None
    store.publish(claim, make_record(spec, status))
    (claim.folder / "checkpoint.pt").touch()
    assert store.state(spec.run_id) == status
    assert store.retry(spec.run_id) == status
    assert store.state(spec.run_id) == "pending"
    assert (claim.folder / "ended" / f"001.{status}.json").exists()
    resumes = status in ("out_of_memory", "timeout")
    assert (claim.folder / "checkpoint.pt").exists() == resumes


def test_retry_never_touches_what_is_done(store: Store) -> None:
    spec = add(store)
    claim = store.claim(spec.run_id)
    assert claim is not None
    store.publish(claim, make_record(spec))
    assert store.retry(spec.run_id) is None
    assert store.state(spec.run_id) == "done"


def test_the_status_is_found_behind_a_long_spec_too(store: Store) -> None:
    spec = add(store, corpus="files:" + "x" * 10_000 + '\n "status": "failed"')
    claim = store.claim(spec.run_id)
    assert claim is not None
    store.publish(claim, make_record(spec))
    assert store.state(spec.run_id) == "done"


def test_ten_thousand_cells_are_listed_within_seconds(store: Store) -> None:
    record = make_record(make_spec()).to_json()
    run_ids = [f"{number:016x}" for number in range(10_000)]
    for number, run_id in enumerate(run_ids):
        folder = store.folder(run_id)
        folder.mkdir(parents=True)
        if number % 2:
            (folder / "record.json").write_text(record)
    started = time.process_time()
    assert store.run_ids() == run_ids
    states = store.states(run_ids)
    assert time.process_time() - started < 3.0
    assert list(states.values()) == ["pending", "done"] * 5_000


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../x", "cells", "cache", "a b", 7, None])
def test_a_sweep_name_stays_in_the_store(name: object) -> None:
    with pytest.raises(StoreError, match="cannot name a sweep"):
        check_sweep_name(name)


@pytest.mark.parametrize("run_id", ["..", "../../etc", "0123456789abcdeg", "0123456789ABCDEF"])
def test_a_run_id_stays_in_the_store(store: Store, run_id: str) -> None:
    with pytest.raises(StoreError, match="16 hex digits"):
        store.folder(run_id)


def test_an_unknown_sweep_names_the_known_ones(store: Store) -> None:
    store.write_sweep("known", "method: grid\n", [])
    with pytest.raises(StoreError, match=r"'other' is not in .* known: known"):
        store.sweep_cells("other")
