"""The store: what has ended stays, what has not can be had by one worker at a time."""

from __future__ import annotations

import errno
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from analysis.errors import AnalysisError
from analysis.sealed import read_sealed
from scaling import claims
from scaling.claims import ClaimLost
from scaling.errors import DamagedFile, StoreError
from scaling.record import SCHEMA_VERSION, RunRecord
from scaling.sealed import seal
from scaling.spec import RunSpec
from scaling.store import Store, check_sweep_name
from tests.factories import make_record, make_spec

REFERENCE = Path(__file__).parents[1] / "analysis" / "reference"


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
    assert store.refused() == [f"{spec.run_id}.000001.{claim.owner[:8]}.json"]


def test_a_worker_that_was_taken_over_publishes_nothing(store: Store) -> None:
    spec = add(store)
    claim = store.claim(spec.run_id)
    assert claim is not None
    claim.end("died")
    assert store.claim(spec.run_id) is not None
    with pytest.raises(ClaimLost):
        store.publish(claim, make_record(spec))
    assert store.state(spec.run_id) == "running"


def end_as(store: Store, spec: RunSpec, status: str) -> Path:
    """Publishes a record with that status; returns the folder of the cell."""
    claim = store.claim(spec.run_id)
    assert claim is not None
    assert store.publish(claim, make_record(spec, status))
    return claim.folder


@pytest.mark.parametrize("status", ["failed", "diverged", "out_of_memory", "timeout"])
def test_retry_moves_what_failed_aside(store: Store, status: str) -> None:
    spec = add(store)
    store.folder(spec.run_id).joinpath("checkpoint.pt").write_text("a state")
    folder = end_as(store, spec, status)
    assert store.state(spec.run_id) == status
    assert store.retry(spec.run_id) == status
    assert store.state(spec.run_id) == "pending"
    assert (folder / "ended" / f"001.{status}.json").exists()
    aside = folder / "ended" / "001.checkpoint.pt"
    kept = aside if status == "diverged" else folder / "checkpoint.pt"
    assert kept.read_text() == "a state"


def test_a_checkpoint_from_which_a_run_failed_twice_is_kept_aside(store: Store) -> None:
    spec = add(store)
    checkpoint = store.folder(spec.run_id) / "checkpoint.pt"
    checkpoint.write_text("first")
    end_as(store, spec, "failed")
    store.retry(spec.run_id)
    # The run got further before it failed again: the checkpoint is another one.
    checkpoint.write_text("second")
    end_as(store, spec, "failed")
    store.retry(spec.run_id)
    assert checkpoint.read_text() == "second"
    folder = end_as(store, spec, "failed")
    store.retry(spec.run_id)
    assert not checkpoint.exists()
    assert (folder / "ended" / "003.checkpoint.pt").read_text() == "second"
    names = sorted(path.name for path in (folder / "ended").glob("*.json"))
    assert names == ["001.failed.json", "002.failed.json", "003.failed.json"]


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
    # The record of one run under many names: all that a name changes are its first bytes.
    content = make_record(make_spec()).to_dict()
    run_ids = [f"{number:016x}" for number in range(10_000)]
    for number, run_id in enumerate(run_ids):
        folder = store.folder(run_id)
        folder.mkdir(parents=True)
        if number % 2:
            (folder / "record.json").write_text(seal(content | {"run_id": run_id}))
    started = time.process_time()
    assert store.run_ids() == run_ids
    states = store.states(run_ids)
    assert time.process_time() - started < 3.0
    assert list(states.values()) == ["pending", "done"] * 5_000


def test_a_record_with_a_byte_flipped_is_damaged_or_says_the_same(store: Store) -> None:
    spec = add(store)
    path = end_as(store, spec, "done") / "record.json"
    data, record = path.read_bytes(), make_record(spec)
    n_damaged = 0
    positions = [*range(0, len(data) - 120, 9), *range(len(data) - 120, len(data))]
    for number, position in enumerate(positions):
        flipped = bytearray(data)
        flipped[position] ^= 1 << number % 8
        path.write_bytes(flipped)
        state = store.state(spec.run_id)
        if state == "damaged":
            n_damaged += 1
            with pytest.raises(DamagedFile, match=r"scaling store check --mend"):
                store.record(spec.run_id)
            with pytest.raises(AnalysisError):
                read_sealed(path)
        else:
            # White space, that JSON allows to be otherwise.
            assert (state, store.record(spec.run_id)) == ("done", record)
            assert read_sealed(path) == json.loads(json.dumps(record.to_dict()))
    assert n_damaged > 0.6 * len(positions)


def test_a_record_that_was_laid_out_anew_is_whole(store: Store) -> None:
    spec = add(store)
    path = end_as(store, spec, "done") / "record.json"
    path.write_text(json.dumps(json.loads(path.read_text()), indent=4).replace("\n", "\r\n"))
    assert store.state(spec.run_id) == "done"
    assert store.record(spec.run_id) == make_record(spec)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"{}"])
def test_a_torn_record_is_damaged_and_a_retry_makes_the_cell_pending(
    store: Store, content: bytes
) -> None:
    spec = add(store)
    path = end_as(store, spec, "done") / "record.json"
    path.write_bytes(content)
    assert store.state(spec.run_id) == "damaged"
    assert store.claim(spec.run_id) is None
    assert "record.json" in str(store.reason(spec.run_id))
    assert store.retry(spec.run_id) == "damaged"
    assert store.state(spec.run_id) == "pending"
    aside = store.root / "damaged" / f"{spec.run_id}-record.json.001"
    assert aside.read_bytes() == content


def test_the_record_of_another_run_is_damaged(store: Store) -> None:
    spec, other = add(store), add(store, seed=1)
    (store.folder(spec.run_id) / "record.json").write_text(make_record(other).to_json())
    assert store.state(spec.run_id) == "damaged"
    with pytest.raises(DamagedFile, match="the record of another run"):
        store.record(spec.run_id)


def test_a_result_that_came_in_between_is_not_set_aside(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = add(store)
    path = end_as(store, spec, "done") / "record.json"
    whole = path.read_bytes()
    path.write_bytes(b"{")
    rename = os.rename

    def mended_meanwhile(source: Path, target: Path) -> None:
        path.write_bytes(whole)
        rename(source, target)

    monkeypatch.setattr(os, "rename", mended_meanwhile)
    assert store.set_record_aside(spec.run_id) is None
    assert path.read_bytes() == whole
    assert list((store.root / "damaged").iterdir()) == []


def test_a_damaged_spec_is_written_anew_by_the_next_launch(store: Store) -> None:
    spec = add(store)
    path = store.folder(spec.run_id) / "spec.json"
    for content in ("", "[]", json.dumps(make_spec(seed=1).to_dict())):
        path.write_text(content)
        with pytest.raises(DamagedFile, match=r"spec\.json is"):
            store.spec(spec.run_id)
        store.add(spec)
        assert store.spec(spec.run_id) == spec
    assert len(list((store.root / "damaged").iterdir())) == 3


def test_a_damaged_listing_is_one_line(store: Store) -> None:
    folder = store.write_sweep("known", "method: grid\n", [{"run_id": "0" * 16}])
    assert store.sweep_cells("known") == [{"run_id": "0" * 16}]
    path = folder / "cells.json"
    path.write_text(path.read_text().replace("000", "010", 1))
    with pytest.raises(DamagedFile, match="a checksum that is not that of its content"):
        store.sweep_cells("known")


def test_listings_and_records_of_version_1_are_read(tmp_path: Path) -> None:
    """The committed records of this study were made before there was a checksum."""
    reference = Store(REFERENCE)
    cells = reference.sweep_cells("learning_rate")
    assert json.loads((REFERENCE / "learning_rate/cells.json").read_text())["schema_version"] == 1
    run_ids = [cell["run_id"] for cell in cells if cell["excluded"] is None]
    assert set(reference.states(run_ids).values()) == {"done"}
    old = json.loads((reference.folder(run_ids[0]) / "record.json").read_text())
    assert old["schema_version"] == 1
    record = reference.record(run_ids[0])
    assert record is not None
    assert record.schema_version == SCHEMA_VERSION
    assert record.bits_per_byte == old["bits_per_byte"]
    (tmp_path / "record.json").write_text(record.to_json())
    assert RunRecord.read(tmp_path / "record.json") == record


def test_a_store_that_is_only_read_calls_nobody_silent(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = add(store)
    claim = store.claim(spec.run_id)
    assert claim is not None
    os.utime(claim.path, (1, 1))
    assert store.state(spec.run_id) == "pending"

    def read_only(folder: Path) -> float:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(claims, "server_seconds", read_only)
    assert store.state(spec.run_id) == "running"


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "a/b", "../x", "cells", "cache", "damaged", "a b", "x\n", "$(x)", "a;b", "-x",
     ".x", "x" * 129, 7, None],
)  # fmt: skip
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
