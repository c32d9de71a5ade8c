"""Names never leave the store or reach a shell, pickles are refused, secrets stay in memory."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from click.testing import CliRunner

from analysis.table import load_table
from scaling import worker
from scaling.checkpoint import best_start
from scaling.cli import main
from scaling.errors import StoreError
from scaling.jobs import Job, make_jobs
from scaling.redact import redact
from scaling.store import Store
from scaling.sweep import expand
from scaling.worker import run_cell
from tests.factories import make_record, make_spec, write_documents
from tests.planted_sweep import write_sweep
from tests.tiny_sweep import loader, write_tiny_sweep

ROOT = Path(__file__).parents[1]
SECRETS = {
    "WANDB_API_KEY": "5ec2e7" * 6 + "0001",
    "HF_TOKEN": "hf_5ec2e7" + "A" * 20,
    "AWS_SECRET_ACCESS_KEY": "5ec2e7/aws+" + "B" * 20,
    "DB_PASSWORD": "5ec2e7-pass",
}
HOSTILE = ("../out", "../../out", "a/../../out", "out; touch pwned", "$(touch pwned)",
           "`touch pwned`", "out\ntouch pwned", "-rf", "out\0")  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_sweep_name_makes_nothing(tmp_path: Path, name: str) -> None:
    sweep = write_tiny_sweep(tmp_path)
    config = yaml.safe_load(sweep.read_text())
    config["name"] = name
    sweep.write_text(yaml.safe_dump(config))
    before = sorted(tmp_path.rglob("*"))
    store = Store(tmp_path / "runs")
    with pytest.raises(StoreError, match="cannot name a sweep"):
        expand(sweep, loader(tmp_path / "elsewhere"))
    for call in (store.sweep_cells, store.sweep_folder):
        with pytest.raises(StoreError, match="cannot name a sweep"):
            call(name)
    with pytest.raises(StoreError, match="cannot name a sweep"):
        store.write_sweep(name, "", [])
    found = [path for path in tmp_path.rglob("*") if "elsewhere" not in path.parts]
    assert sorted(found) == before


@pytest.mark.parametrize("run_id", [*HOSTILE, "0123456789abcdef\n", "../0123456789abcdef"])
def test_a_hostile_run_id_makes_nothing(tmp_path: Path, run_id: str) -> None:
    store = Store(tmp_path / "runs")
    for call in (store.folder, store.state, store.claim, store.record, store.retry, store.spec):
        with pytest.raises(StoreError, match="16 hex digits"):
            call(run_id)
    with pytest.raises(StoreError, match="16 hex digits"):
        run_cell(store.root, Job(run_id=run_id))
    assert list(tmp_path.rglob("*")) == []


def test_a_listing_with_a_hostile_run_id_reads_nothing_outside_the_store(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    folder = write_sweep(root)
    outside = tmp_path / "out"
    outside.mkdir()
    listing = json.loads((folder / "cells.json").read_text())
    run_id = listing["cells"][0]["run_id"]
    os.rename(root / "cells" / run_id / "record.json", outside / "record.json")
    listing["cells"][0]["run_id"] = "../../out"
    (folder / "cells.json").write_text(json.dumps(listing))
    excluded = load_table(folder).excluded
    assert excluded["reason"].str.contains("run_id '../../out' is no name of a cell").sum() == 1


@pytest.mark.parametrize("name", ["a b; touch pwned", "$(touch pwned)", "line\nend", "..dots"])
def test_a_corpus_with_a_hostile_name_is_a_file_like_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "texts" / name).mkdir(parents=True)
    text = write_documents(tmp_path / "texts" / name / "text.jsonl")
    root = tmp_path / "runs"
    sweep = write_tiny_sweep(tmp_path, corpus=f"files:{text}", train_tokens=2560)
    before = {path for path in tmp_path.rglob("*") if root not in path.parents}
    store = Store(root)
    cells = expand(sweep, loader(root)).cells
    store.add(cells[0].spec)
    (job,) = make_jobs(cells, wandb_mode="disabled")
    assert run_cell(root, job) == "done"
    after = {path for path in tmp_path.rglob("*") if root not in path.parents}
    assert after - before == {root}
    # Nothing in the store is named after the corpus.
    assert not [path for path in root.rglob("*") if name in str(path.relative_to(tmp_path))]


class Evil:
    """A pickle that touches a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("as_zip", [True, False])
def test_a_checkpoint_that_holds_a_pickle_is_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, as_zip: bool
) -> None:
    spec = make_spec()
    header = {"run_id": spec.run_id, "trunk_id": spec.trunk_id, "step": 1, "session": {}}
    content = {"header": header, "evil": Evil(tmp_path / "pwned")}
    torch.save(content, tmp_path / "checkpoint.pt", _use_new_zipfile_serialization=as_zip)
    torch.save(content, tmp_path / "fork.pt", _use_new_zipfile_serialization=as_zip)
    start, _ = best_start(tmp_path, tmp_path / "fork.pt", spec)
    assert start is None
    assert not (tmp_path / "pwned").exists()
    lines = caplog.text.splitlines()
    assert sum("is passed over, it cannot be read: " in line for line in lines) == 2
    assert "weights_only=False" not in caplog.text  # torch's advice to trust the file
    # The file would have done it.
    torch.load(tmp_path / "checkpoint.pt", weights_only=False)
    assert (tmp_path / "pwned").exists()


def test_secrets_are_found_by_the_names_of_their_variables(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "parallel-as-can-be")
    monkeypatch.setenv("API_KEY", "true")
    for name, value in SECRETS.items():
        assert redact(f"401 for {value}!") == f"401 for <{name}>!"
    assert redact("true parallel-as-can-be") == "true parallel-as-can-be"


def test_no_secret_reaches_a_record_a_traceback_or_wandb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)

    def run(*arguments: Any, **options: Any) -> None:
        print("the library prints", *SECRETS.values(), file=sys.stderr)
        raise RuntimeError("401 Unauthorized: " + " ".join(SECRETS.values()))

    monkeypatch.setattr(worker, "run", run)
    root = tmp_path / "runs"
    cells = expand(write_tiny_sweep(tmp_path, train_tokens=2560), loader(root)).cells
    store = Store(root)
    store.add(cells[0].spec)
    (job,) = make_jobs(cells, wandb_mode="offline")
    assert run_cell(root, job) == "failed"
    assert "401 Unauthorized: <WANDB_API_KEY> <HF_TOKEN>" in str(store.reason(job.run_id))
    assert "401 Unauthorized: " in (store.folder(job.run_id) / "traceback.txt").read_text()
    assert leaks(root) == []
    (tmp_path / "leak.txt").write_text(SECRETS["HF_TOKEN"])
    assert leaks(tmp_path) == ["leak.txt"]


def test_what_a_cell_prints_is_redacted_in_its_log(tmp_path: Path) -> None:
    script = (
        "import os, sys, pathlib, traceback\n"
        "from scaling.engines.child import _redirect_output\n"
        "_redirect_output(pathlib.Path(sys.argv[1]))\n"
        "print('out', os.environ['HF_TOKEN'], flush=True)\n"
        "sys.stderr.write(os.environ['DB_PASSWORD'] + chr(10))\n"
        "raise RuntimeError(os.environ['WANDB_API_KEY'])\n"
    )
    log = tmp_path / "cell" / "log.txt"
    command = [sys.executable, "-c", script, str(log)]
    subprocess.run(command, env=os.environ | SECRETS, cwd=ROOT, check=False)
    text = log.read_text()
    assert "out <HF_TOKEN>" in text
    assert "<DB_PASSWORD>" in text
    assert "RuntimeError: <WANDB_API_KEY>" in text
    assert leaks(tmp_path) == []


@pytest.mark.slow
def test_no_secret_is_written_by_a_sweep_that_works(tmp_path: Path) -> None:
    sweep = write_tiny_sweep(tmp_path, train_tokens=2560)
    command = [sys.executable, "-m", "scaling", "run", str(sweep), "--root", str(tmp_path / "runs")]
    environment = os.environ | SECRETS | {"WANDB_MODE": "offline"}
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "runs" / "wandb").rglob("*.wandb"))
    assert leaks(tmp_path) == []
    assert not any(value in done.stdout + done.stderr for value in SECRETS.values())


def leaks(folder: Path) -> list[str]:
    """The files that hold a secret."""
    return [
        path.relative_to(folder).as_posix()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and any(value.encode() in path.read_bytes() for value in SECRETS.values())
    ]


def test_no_record_of_a_study_names_a_place_of_the_machine_that_made_it() -> None:
    reference = ROOT / "analysis" / "reference"
    files = [path for path in reference.rglob("*") if path.is_file()]
    assert len(files) > 100
    place = re.compile(r'["\s:=](/|~/|[A-Za-z]:\\\\|file:)[\w.~-]')
    for path in files:
        found = place.search(path.read_text(encoding="utf-8"))
        assert found is None, f"{path.relative_to(ROOT)}: {found}"


CONTROLS = "\x1b[2J\x1b]0;pwned\x07\x9b31m\u202e"


@pytest.mark.parametrize(
    "command",
    [
        ("status",),
        ("status", "mixed"),
        ("status", "mixed", "--watch"),
        ("watch", "mixed"),
        ("logs", "0123456789abcdef"),
        ("run", "mixed.yaml"),
        ("store", "check"),
        ("fit", "runs/mixed"),
        ("compare", "runs/mixed"),
        ("report", "runs/mixed"),
    ],
    ids=" ".join,
)
def test_a_terminal_obeys_nothing_that_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    """What others wrote to a shared store is shown, and its controls are spelled out."""
    monkeypatch.chdir(tmp_path)
    sweep = write_tiny_sweep(tmp_path, train_tokens=2560)
    sweep.write_text(sweep.read_text().replace("name: tiny", "name: mixed"))
    sweep.rename("mixed.yaml")
    root = Path("runs")
    store = Store(root)
    cells = expand(Path("mixed.yaml"), loader(root)).cells
    listed = [cell.to_dict() for cell in cells]
    listed[0]["labels"] = {f"size{CONTROLS}": f"25k{CONTROLS}", "seed": 0}
    for cell in cells:
        store.add(cell.spec)
        claim = store.claim(cell.run_id)
        assert claim is not None
        (claim.folder / "log.txt").write_text(f"last words{CONTROLS}\n")
        (claim.folder / "traceback.txt").write_text(f"Traceback{CONTROLS}\n")
        store.publish(claim, make_record(cell.spec, "failed", reason=f"gone{CONTROLS}wrong"))
    store.write_sweep("mixed", "", listed)
    (root / "refused").mkdir()
    (root / "refused" / f"x{CONTROLS}.json").touch()
    arguments = [cells[0].run_id if word == "0123456789abcdef" else word for word in command]
    result = CliRunner().invoke(main, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    assert "gone\\x1b" in result.output or "x\\x1b" in result.output, result.output
    assert not set(CONTROLS) - set("[2J]0;pwned31m") & set(result.output)


def test_a_terminal_obeys_nothing_that_is_in_a_table(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "runs")
    for path in tmp_path.glob("runs/cells/*/record.json"):
        record = json.loads(path.read_text())
        if record["status"] != "done":
            path.write_text(json.dumps(record | {"reason": f"gone{CONTROLS}wrong"}))
    result = CliRunner().invoke(main, ["fit", str(folder), "--n-boot", "0"])
    assert result.exit_code == 0, result.output
    assert "gone\\x1b" in result.output
    assert not set(CONTROLS) - set("[2J]0;pwned31m") & set(result.output)
