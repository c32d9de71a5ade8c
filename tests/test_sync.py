"""`scaling sync` and `--from wandb:`, with the real client against the stand-in for the service."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from scaling.cell_files import RECORD
from scaling.cli import main
from scaling.files import write_atomic
from scaling.record import RunRecord
from scaling.store import Store
from scaling.tracking import make_logger
from scaling.wandb_mirror import upload
from scaling.wandb_mirror.content import TOKENS, checksum_of, rows_of
from scaling.wandb_mirror.download import read_project
from scaling.wandb_mirror.project import parse_project
from tests.factories import make_record
from tests.small_store import reference_cells, reference_record, small_store
from tests.wandb_environment import KEY, use_service
from tests.wandb_service import wandb_service
from tests.wandb_service.server import WandbService

pytestmark = pytest.mark.slow


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WandbService]:
    with wandb_service() as server:
        use_service(monkeypatch, tmp_path, server.url)
        # A server that does not answer is given up at once.
        monkeypatch.setenv("WANDB_INIT_TIMEOUT", "2")
        monkeypatch.setenv("WANDB_FINISH_TIMEOUT", "2")
        monkeypatch.setattr(upload, "_CONFIRM_SECONDS", 1.0)
        yield server
    assert server.unknown == []


def sync(root: Path, *arguments: str) -> tuple[int, str]:
    options = ["--project", "team/scaling", "--root", str(root)]
    result = CliRunner().invoke(main, ["sync", *arguments, *options])
    return result.exit_code, result.output


def contents(root: Path) -> dict[Path, bytes]:
    """All files of the store but W&B's own."""
    files = [path for path in root.rglob("*") if path.is_file() and "wandb" not in path.parts]
    return {path: path.read_bytes() for path in files}


def history_is_that_of(server: WandbService, record: RunRecord) -> bool:
    history = server.state.run(record.run_id).history
    wanted = rows_of(record)
    return [{k: row[k] for k in row if k[0] != "_"} for row in history] == wanted


def test_a_store_is_mirrored_once(service: WandbService, tmp_path: Path) -> None:
    root = tmp_path / "store"
    store = small_store(root, 2, n_pending=2)
    failed = make_record(reference_record(2).spec, "failed")
    store.add(failed.spec)
    write_atomic(store.folder(failed.run_id) / RECORD, failed.to_json())
    before = contents(root)
    code, output = sync(root)
    assert code == 0, output
    assert "3 cells sent now, 0 were there, 1 have not ended" in output
    for record in (reference_record(0), reference_record(1), failed):
        run = service.state.run(record.run_id)
        assert history_is_that_of(service, record)
        assert run.summary["final/checksum"] == checksum_of(record)
        assert run.attributes["groupName"] == "quickstart"
        assert run.attributes["jobType"] == record.spec.arch
        assert run.attributes["tags"][0] == record.spec.objective
        assert run.values["run_id"] == record.run_id
        assert run.state == ("failed" if record is failed else "finished")
    overview = service.state.run("sweep-quickstart")
    assert overview.summary["states/done"] == 2
    assert overview.summary["states/failed"] == overview.summary["states/pending"] == 1
    assert overview.summary["states/excluded"] == 1
    assert contents(root) == before

    service.calls.clear()
    code, output = sync(root)
    assert "0 cells sent now, 3 were there, 1 have not ended" in output
    assert service.calls == {}, "what is noted as sent asks for nothing"

    (note,) = (root / "wandb" / "sent").glob("*.json")
    note.unlink()
    code, output = sync(root)
    assert "0 cells sent now, 3 were there" in output
    assert service.calls["UpsertBucket"] == 2, "of the sweep alone"
    assert len(service.state.run(reference_record(0).run_id).history) == len(
        rows_of(reference_record(0))
    )


def test_a_retried_cell_is_sent_anew(service: WandbService, tmp_path: Path) -> None:
    record = reference_record()
    store = small_store(tmp_path, 1)
    failed = make_record(record.spec, "failed")
    path = store.folder(record.run_id) / RECORD
    write_atomic(path, failed.to_json())
    assert sync(tmp_path)[0] == 0
    assert service.state.run(record.run_id).state == "failed"
    write_atomic(path, record.to_json())
    assert "1 cells sent now" in sync(tmp_path)[1]
    assert service.state.run(record.run_id).state == "finished"
    assert history_is_that_of(service, record)


def test_a_run_that_the_server_has_in_part_goes_on_there(
    service: WandbService, tmp_path: Path
) -> None:
    record = reference_record()
    small_store(tmp_path, 1)
    logger = make_logger(
        record.spec, run_id=record.run_id, root=tmp_path, sweep="quickstart",
        labels={"size": "25k"}, project="scaling", mode="online",
    )  # fmt: skip
    assert logger is not None
    first, second, *_ = rows_of(record)
    for row in (first, second):
        values = {key: value for key, value in row.items() if not key.startswith("progress/")}
        flops, tokens = row["progress/flops"], int(row[TOKENS])
        logger.log_row(values, tokens=tokens, train_flops=flops, step=int(row["progress/step"]))
    logger.abort("interrupted", "the power went")
    assert len(service.state.run(record.run_id).history) == 2
    assert "1 cells sent now" in sync(tmp_path)[1]
    assert history_is_that_of(service, record)
    assert service.state.run(record.run_id).summary["final/status"] == "done"


@pytest.mark.parametrize("status", [500, 429])
def test_a_server_that_fails_half_way_gets_the_rest_later(
    service: WandbService, tmp_path: Path, status: int
) -> None:
    small_store(tmp_path, 2)
    service.faults.answer_with(status, "/files/")
    code, output = sync(tmp_path)
    assert code == 2
    assert output.count("\n") == 1
    assert output.startswith("error: W&B ")
    assert service.faults.refused[status] > 0
    service.faults.heal()
    code, output = sync(tmp_path)
    assert code == 0
    assert "2 cells sent now" in output
    assert all(history_is_that_of(service, reference_record(index)) for index in (0, 1))


def fit(root: Path, *source: str) -> dict[str, object]:
    options = ["--root", str(root), "--n-boot", "0", "--json"]
    result = CliRunner().invoke(main, ["fit", *source, *options])
    assert result.exit_code == 0, result.output
    return json.loads(result.output)  # type: ignore[no-any-return]


def test_a_fit_of_what_was_read_back_is_that_of_the_store(
    service: WandbService, tmp_path: Path
) -> None:
    root, elsewhere = tmp_path / "store", tmp_path / "elsewhere"
    n_cells = len(reference_cells())
    store = small_store(root, n_cells)
    assert sync(root)[0] == 0
    # One that went wrong on the way: it is left out, with its reason, and never half read.
    spoiled = reference_cells()[-1]["run_id"]
    del service.state.run(spoiled).lines["wandb-history.jsonl"][1]
    read = fit(elsewhere, "--from", "wandb:team/scaling")
    assert spoiled in json.dumps(read)
    (store.folder(spoiled) / RECORD).unlink()
    own = fit(root, "quickstart")
    strip = json.JSONEncoder(sort_keys=True).encode
    reason = f"not read: W&B run {spoiled}: its "
    assert reason in strip(read)
    fits, own_fits = read["fits"], own["fits"]
    assert isinstance(fits, dict)
    assert isinstance(own_fits, dict)
    for group, values in own_fits.items():
        assert fits[group]["estimates"] == values["estimates"]
    assert Store(elsewhere / "wandb/read/team/scaling").run_ids() == [
        run_id for run_id in store.run_ids() if run_id != spoiled
    ]


def test_a_run_of_more_rows_than_the_sample_is_read_whole(
    service: WandbService, tmp_path: Path
) -> None:
    record = reference_record()
    point = record.curve[0]
    batch = record.spec.batch_tokens
    curve = tuple(
        dataclasses.replace(
            point, tokens=step * batch, nats_per_target=1 / step,
            train_flops=step * batch * record.train_flops_per_token,
        )
        for step in range(1, 1201)
    )  # fmt: skip
    long = dataclasses.replace(record, curve=curve)
    root = tmp_path / "store"
    store = small_store(root, 1)
    write_atomic(store.folder(record.run_id) / RECORD, long.to_json())
    assert sync(root, "quickstart")[0] == 0
    assert len(service.state.run(record.run_id).history) == 1200
    folder = read_project(parse_project("team/scaling"), tmp_path / "elsewhere")
    read = Store(folder.parent).record(record.run_id)
    assert read == long


def test_no_key_is_written_into_the_store(service: WandbService, tmp_path: Path) -> None:
    small_store(tmp_path / "store", 1)
    assert sync(tmp_path / "store")[0] == 0
    files = [path for path in (tmp_path / "store").rglob("*") if path.is_file()]
    assert not any(KEY.encode() in path.read_bytes() for path in files)
