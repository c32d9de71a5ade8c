"""`scaling store check`: each kind of damage is found, told in one line and mended without loss."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from safetensors.numpy import save_file

from scaling import claims
from scaling.cli import main
from scaling.errors import StoreError
from scaling.files import damage_of_zip
from scaling.spec import RunSpec
from scaling.store import Store
from scaling.upkeep import look_through
from tests.factories import make_record, make_spec
from tests.test_claims import of_a_dead_process, of_another_machine

DONE, PENDING = make_spec(), make_spec(seed=1)


def listed(spec: RunSpec) -> dict[str, object]:
    return {"run_id": spec.run_id, "labels": {}, "depends_on": None, "excluded": None,
            "spec": spec.to_dict()}  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A done cell with its fork and weights, and one that stands at a checkpoint."""
    store = Store(tmp_path / "runs")
    for spec in (DONE, PENDING):
        store.add(spec)
    store.write_sweep("both", "method: grid\n", [listed(DONE), listed(PENDING)])
    claim = store.claim(DONE.run_id)
    assert claim is not None
    torch.save({"a": torch.arange(1000)}, claim.folder / "fork.pt")
    torch.save({"a": torch.arange(1000)}, store.folder(PENDING.run_id) / "checkpoint.pt")
    save_file({"a": np.arange(1000)}, claim.folder / "weights.safetensors")
    assert store.publish(claim, make_record(DONE))
    return store


def check(store: Store, *options: str) -> Result:
    return CliRunner().invoke(main, ["store", "check", "--root", str(store.root), *options])


def test_a_sound_store_has_no_finding(store: Store) -> None:
    result = check(store)
    assert (result.exit_code, result.output) == (
        0, f"{store.root}: 2 cells, 0 damages left, 0 mended\n",
    )  # fmt: skip


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def flip_letter(path: Path) -> None:
    """Of a name, so that the file is JSON as before."""
    data = bytearray(path.read_bytes())
    data[data.index(b"_", len(data) // 2) + 1] ^= 1
    path.write_bytes(data)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def age(path: Path) -> Path:
    os.utime(path, (1, 1))
    return path


def leave_temporary(folder: Path) -> None:
    path = folder / ".checkpoint.pt.0123456789ab.tmp"
    path.write_text("half")
    age(path)


def leave_guard(folder: Path) -> None:
    (folder / "claims").mkdir(exist_ok=True)
    guard = folder / "claims" / "000001.taking"
    guard.touch()
    age(guard)


def leave_claim_aside(folder: Path) -> None:
    assert claims.take(folder) is not None
    os.rename(
        folder / "claim.json", age(folder / "claim.json").with_name(".claim.0123456789ab.tmp")
    )


def cell(store: Store, spec: RunSpec) -> Path:
    return store.folder(spec.run_id)


DAMAGES: dict[str, tuple[str, Callable[[Store], object], str]] = {
    "record flipped": ("record", lambda s: flip_letter(cell(s, DONE) / "record.json"), "checksum"),
    "record torn": ("record", lambda s: truncate(cell(s, DONE) / "record.json"), "not whole JSON"),
    "record elsewhere": (
        "record",
        lambda s: (cell(s, PENDING) / "record.json").write_text(make_record(DONE).to_json()),
        "the record of another run",
    ),
    "spec torn": ("spec", lambda s: truncate(cell(s, DONE) / "spec.json"), "is no spec"),
    "spec missing": ("spec", lambda s: (cell(s, PENDING) / "spec.json").unlink(), "is missing"),
    "listing": ("listing", lambda s: flip(s.root / "both" / "cells.json"), "cells.json"),
    "checkpoint torn": (
        "checkpoint", lambda s: truncate(cell(s, PENDING) / "checkpoint.pt"), "torn",
    ),
    "fork flipped": ("checkpoint", lambda s: flip(cell(s, DONE) / "fork.pt"), "checksum of its"),
    "weights": ("weights", lambda s: truncate(cell(s, DONE) / "weights.safetensors"), "read"),
    "temporary": ("temporary", lambda s: leave_temporary(cell(s, PENDING)), "left behind"),
    "claim aside": ("temporary", lambda s: leave_claim_aside(cell(s, PENDING)), "left behind"),
    "dead claim": ("claim", lambda s: of_a_dead_process(cell(s, PENDING)), "is gone"),
    "silent claim": (
        "claim", lambda s: of_another_machine(cell(s, PENDING), silent_seconds=3600), "is gone",
    ),
    "guard": ("guard", lambda s: leave_guard(cell(s, PENDING)), "by a takeover"),
    "unknown cell": ("unknown cell", lambda s: (s.cells / ("0" * 16)).mkdir(), "is missing"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGES)
def test_each_damage_is_one_line_and_mended_without_loss(store: Store, name: str) -> None:
    kind, damage, words = DAMAGES[name]
    damage(store)
    result = check(store)
    assert result.exit_code == 1
    lines = [line for line in result.output.splitlines() if line.startswith("damage: ")]
    assert len(lines) == 1, result.output
    assert words in lines[0]
    assert "; with --mend: " in lines[0]
    found = json.loads(check(store, "--json").output)
    assert (found["damaged"], [f["kind"] for f in found["findings"] if f["is_damage"]]) == (
        1, [kind],
    )  # fmt: skip
    before = contents(store.root)
    mended = check(store, "--mend")
    assert mended.exit_code == 0, mended.output
    assert mended.output.startswith("mended: ")
    # All that was there is there, but for what a write that was cut off left.
    lost = before - contents(store.root)
    assert lost <= {b"half", b""}
    again = check(store)
    assert again.exit_code == 0, again.output
    states = store.states([DONE.run_id, PENDING.run_id])
    record_is_gone = kind == "record" and name != "record elsewhere"
    assert states[DONE.run_id] == ("pending" if record_is_gone else "done")
    assert states[PENDING.run_id] == "pending"
    assert store.spec(DONE.run_id) == DONE
    assert store.spec(PENDING.run_id) == PENDING


def contents(root: Path) -> set[bytes]:
    """What the files hold; a claim says in addition why it ended."""
    return {
        path.read_bytes().rstrip(b"}").partition(b', "reason"')[0]
        for path in root.rglob("*")
        if path.is_file()
    }


def test_notes_are_told_and_are_no_damage(store: Store) -> None:
    orphan = make_spec(seed=5)
    store.add(orphan)
    (cell(store, DONE) / "weights.safetensors").unlink()
    (store.root / "refused").mkdir()
    (store.root / "refused" / f"{DONE.run_id}.000001.json").write_text("{}")
    result = check(store)
    assert result.exit_code == 0
    notes = [line for line in result.output.splitlines() if line.startswith("note: ")]
    assert len(notes) == 3
    for words in (f"{orphan.run_id} is named by no sweep", "has no weights", "came second"):
        assert sum(words in note for note in notes) == 1
    assert check(store, "--mend").output == result.output


def test_a_cell_that_is_being_trained_is_left_alone(store: Store) -> None:
    claim = store.claim(PENDING.run_id)
    assert claim is not None
    truncate(claim.folder / "checkpoint.pt")
    leave_temporary(claim.folder)
    leave_guard(claim.folder)
    assert look_through(store, mend=True) == []
    claim.end("released")
    assert {finding.kind for finding in look_through(store)} == {
        "checkpoint", "temporary", "guard",
    }  # fmt: skip


def test_a_fresh_temporary_file_is_its_writer_s(store: Store) -> None:
    (cell(store, PENDING) / ".spec.json.0123456789ab.tmp").write_text("half")
    assert look_through(store) == []


def test_what_is_no_store_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is no store; give the folder of one with --root"):
        look_through(Store(tmp_path / "nothing"))


def test_torch_writes_the_checksums_that_find_a_flipped_byte(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    torch.save({"weights": torch.zeros(100_000)}, path)
    assert damage_of_zip(path) is None
    flip(path)
    assert "checksum" in str(damage_of_zip(path))
    # The reader of torch does not look at them.
    assert not torch.equal(torch.load(path, weights_only=True)["weights"], torch.zeros(100_000))
