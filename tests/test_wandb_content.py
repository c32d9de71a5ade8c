"""A record as a W&B run, and back; addresses of projects; what belongs to a sync."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from scaling.cell_read import CellRecord
from scaling.cli import main
from scaling.errors import TrackingError
from scaling.evaluation_cell import EvaluationProvenance, EvaluationRecord, EvaluationSpec
from scaling.spec import RunSpec
from scaling.wandb_mirror.content import (
    RECORD,
    RECORD_CHECKSUM,
    TOKENS,
    final_summary,
    record_of,
    rows_of,
)
from scaling.wandb_mirror.project import Project, parse_project
from scaling.wandb_mirror.sent import Sent
from scaling.wandb_mirror.upload import members
from tests.factories import make_record, make_spec
from tests.small_store import reference_record, small_store
from tests.wandb_environment import clean_environment


def sent_and_read(record: CellRecord) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Summary and history as they are after a way through JSON, whole floats as integers."""
    history = json.loads(json.dumps(rows_of(record)))
    for row in history:
        for key, value in row.items():
            row[key] = int(value) if value == int(value) else value
        row |= {"_step": len(row), "_timestamp": 1.5, "throughput/tokens_per_second": 3.0}
    return json.loads(json.dumps(final_summary(record))), history


@pytest.mark.parametrize("index", [0, 13])
def test_a_record_comes_back_as_it_was(index: int) -> None:
    record = reference_record(index)
    summary, history = sent_and_read(record)
    assert len(history) > 3
    assert record_of(summary, reversed(history)) == record
    assert record_of(summary, history).to_json() == record.to_json()


def test_a_record_without_a_curve_comes_back() -> None:
    record = make_record(make_spec(), "diverged")
    summary, history = sent_and_read(record)
    assert history == []
    assert record_of(summary, []) == record
    assert summary["final/status"] == "diverged"


def test_an_evaluation_comes_back() -> None:
    spec = EvaluationSpec(measurement="cls_geometry", of="0" * 16, options={"layer": 2})
    record = EvaluationRecord(
        run_id=spec.run_id,
        spec=spec,
        status="done",
        reason=None,
        options={"layer": 2, "pooling": "mean"},
        values={"cosine": 0.5, "by_layer": [0.1, 0.2], "share": None},
        missing={"share": "one sentence"},
        provenance=EvaluationProvenance(
            wall_seconds=1.0, attempts=1, device="cpu", versions={}, git_commit=None,
            finished_at="2026-01-01T00:00:00+00:00",
        ),
    )  # fmt: skip
    summary, history = sent_and_read(record)
    assert record_of(summary, history) == record
    assert summary["final/cosine"] == 0.5
    with pytest.raises(TrackingError, match="are not the record that was sent"):
        record_of(summary | {RECORD: summary[RECORD].replace("0.5", "0.6")}, history)


def test_a_reading_that_was_repeated_counts_once() -> None:
    record = reference_record()
    summary, history = sent_and_read(record)
    assert record_of(summary, [*history, *history[1:3]]) == record


def test_a_row_that_is_missing_or_another_is_never_a_record() -> None:
    summary, history = sent_and_read(reference_record())
    with pytest.raises(TrackingError, match="are not the record that was sent"):
        record_of(summary, history[::2])
    changed = [row | {"validation/mlm_nats": 1.0, "validation/clm_nats": 1.0} for row in history]
    with pytest.raises(TrackingError, match="are not the record that was sent"):
        record_of(summary, changed)
    with pytest.raises(TrackingError, match="are not the record that was sent"):
        record_of(summary | {RECORD_CHECKSUM: "0" * 64}, history)
    with pytest.raises(TrackingError, match="it holds no record"):
        record_of(summary | {RECORD: "{}"}, history)


def test_counters_are_exact_integers() -> None:
    record = reference_record()
    rows = rows_of(record)
    assert [row[TOKENS] for row in rows] == sorted({point.tokens for point in record.curve})
    assert all(type(row[TOKENS]) is type(row["progress/flops"]) is int for row in rows)
    last = record.curve[-1]
    assert rows[-1]["progress/flops"] == int(last.tokens * record.train_flops_per_token)
    assert rows[-1]["progress/step"] * record.spec.batch_tokens == last.tokens


def test_addresses() -> None:
    assert parse_project("wandb:team/scaling") == Project(entity="team", project="scaling")
    of_sweep = parse_project("wandb:team/scaling/ladder", with_sweep=True)
    assert str(of_sweep) == "team/scaling/ladder"
    for wrong in ("scaling", "wandb:../../etc", "a/b/c/d", "team/../x", "team/", "wandb:", "a/b\n"):
        with pytest.raises(TrackingError, match="is not ENTITY/PROJECT"):
            parse_project(wrong, with_sweep=True)
    with pytest.raises(TrackingError, match="is not ENTITY/PROJECT,"):
        parse_project("team/scaling/ladder")


def test_a_shared_cell_is_sent_once_and_names_its_sweeps(tmp_path: Path) -> None:
    store = small_store(tmp_path, 2)
    first = store.sweep_cells("quickstart")[0]
    store.write_sweep("another", "", [first])
    alone = RunSpec.from_dict(make_spec().to_dict())
    store.add(alone)
    found = {member.run_id: member for member in members(store, None)}
    assert len(found) == 3
    assert found[first["run_id"]].sweeps == ("another", "quickstart")
    assert found[alone.run_id].group == "cells"
    of_sweep = members(store, "quickstart")
    assert [member.sweeps for member in of_sweep] == [("quickstart", "another"), ("quickstart",)]


def test_what_was_sent_is_noted_for_each_server_and_project(tmp_path: Path) -> None:
    project = Project(entity="team", project="scaling")
    one = Sent(tmp_path, "http://127.0.0.1:1", project)
    one.confirm("a", "digest")
    assert Sent(tmp_path, "http://127.0.0.1:1", project).digest("a") == "digest"
    assert Sent(tmp_path, "http://127.0.0.1:2", project).digest("a") is None
    one.path.write_text("{torn")
    assert Sent(tmp_path, "http://127.0.0.1:1", project).digest("a") is None
    other = Sent(tmp_path, "http://127.0.0.1:1", project)
    with one.alone(), pytest.raises(TrackingError, match="another `scaling sync`"), other.alone():
        pass


def call(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, arguments)
    return result.exit_code, result.output


def test_without_a_key_the_command_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clean_environment(monkeypatch, tmp_path)
    small_store(tmp_path / "store", 1)
    root = ["--root", str(tmp_path / "store")]
    code, output = call("sync", "--project", "team/scaling", *root)
    assert code == 2
    assert output.startswith("error: there is no key for http://127.0.0.1:9; `wandb login`")
    code, output = call("fit", "--from", "wandb:team/scaling", *root)
    assert code == 2
    assert output.startswith("error: there is no key for http://127.0.0.1:9")
    code, output = call("sync", "--root", str(tmp_path / "none"))
    assert code == 2
    assert "holds no cells; give the store with --root" in output


def test_one_source_is_asked_for() -> None:
    for arguments, message in (
        (["quickstart", "--from", "wandb:a/b"], "both SOURCE and --from are given"),
        (["--from", "a/b"], "is no address; write wandb:ENTITY/PROJECT"),
        ([], "Missing argument 'SOURCE'"),
        (["--from", "wandb:a"], "is not ENTITY/PROJECT"),
    ):
        code, output = call("fit", *arguments)
        assert code == 2
        assert message in output
        assert output.count("\n") == 1
