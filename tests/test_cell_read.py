"""How the state of a cell is read again and again."""

from __future__ import annotations

from pathlib import Path

import pytest

from scaling import cell_read
from scaling.cell_files import RECORD
from scaling.store import Store
from tests.factories import make_record, make_spec


def test_a_record_that_stays_is_read_once_and_a_changed_one_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, spec = Store(tmp_path), make_spec()
    store.add(spec)
    reads: list[str | Path] = []
    read = cell_read.recorded_state

    def counted(path: str | Path, run_id: str) -> cell_read.Ended | None:
        reads.append(path)
        return read(path, run_id)

    monkeypatch.setattr(cell_read, "recorded_state", counted)
    assert store.state(spec.run_id) == "pending"
    path = store.folder(spec.run_id) / RECORD
    path.write_text(make_record(spec, "failed").to_json())
    assert [store.state(spec.run_id) for _ in range(3)] == ["failed"] * 3
    assert len(reads) == 1
    # Another file in its place, as a retry makes one, and then a flipped byte.
    path.unlink()
    assert store.state(spec.run_id) == "pending"
    path.write_text(make_record(spec).to_json())
    assert [store.state(spec.run_id) for _ in range(3)] == ["done"] * 3
    assert len(reads) == 2
    path.write_text(path.read_text().replace("100", "101", 1))
    assert store.state(spec.run_id) == "damaged"
