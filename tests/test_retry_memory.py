"""`scaling retry --only oom`: smaller micro-batches, the same batch, until one sequence is left."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from scaling.cli import main
from scaling.jobs import Job
from scaling.outcome import ended_record
from scaling.split import MICRO_BATCH_FILE, Split, read_micro_batch
from scaling.store import Store
from scaling.sweep import expand
from scaling.train import run
from scaling.worker import read_text, run_cell
from tests.test_split import same_losses
from tests.tiny_sweep import loader, write_tiny_sweep

# Training takes 300 MiB with all 256 sequences of a batch at once, 160 with a quarter of them.
LIMIT_MEBIBYTES = 190


def prepared(folder: Path, **changes: object) -> tuple[Store, str]:
    """A store that knows a sweep of one cell."""
    store = Store(folder / "runs")
    sweep = expand(write_tiny_sweep(folder, **changes), loader(store.root))
    (cell,) = sweep.cells
    store.write_sweep(sweep.name, sweep.source, sweep.to_dicts())
    store.add(cell.spec)
    return store, cell.run_id


def retry(store: Store, only: str) -> Result:
    return CliRunner().invoke(main, ["retry", "tiny", "--root", str(store.root), "--only", only])


def publish_out_of_memory(store: Store, run_id: str, split: Split) -> None:
    claim = store.claim(run_id)
    assert claim is not None
    record = ended_record(store.spec(run_id), "out_of_memory", "no memory", split=split)
    assert store.publish(claim, record)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit on the address space")
def test_a_cell_that_ran_out_of_memory_ends_with_a_smaller_micro_batch(tmp_path: Path) -> None:
    store, run_id = prepared(
        tmp_path, d_model=32, seq_len=128, batch_tokens=128 * 256, warmup_tokens=0,
        train_tokens=128 * 256 * 3,
    )  # fmt: skip
    command = [sys.executable, "-m", "tests.memory_limited_cell", store.root, LIMIT_MEBIBYTES]
    states, root = [], Path(__file__).parents[1]
    while len(states) < 9:
        done = subprocess.run([*map(str, command)], cwd=root, check=True, capture_output=True)
        states.append(done.stdout.decode().split()[-1])
        if states[-1] == "done":
            break
        answer = retry(store, "oom")
        assert answer.exit_code == 0, answer.output
        assert f"({run_id}): {256 >> len(states)} sequences at a time from now on" in answer.output
        assert read_micro_batch(store.folder(run_id)) == 256 >> len(states)
    assert len(states) > 1
    assert set(states[:-1]) == {"out_of_memory"}
    record = store.record(run_id)
    assert record is not None
    assert record.provenance.micro_batch == 256 >> (len(states) - 1)
    spec = store.spec(run_id)
    whole = run(spec, text=read_text(spec, store), folder=tmp_path / "whole")
    same_losses(whole, record)


def test_the_last_halving_leaves_one_sequence_and_says_so(tmp_path: Path) -> None:
    store, run_id = prepared(tmp_path, train_tokens=2560)  # 8 sequences a batch
    for expected in (4, 2, 1):
        publish_out_of_memory(
            store,
            run_id,
            Split().within(read_micro_batch(store.folder(run_id)), store.spec(run_id)),
        )
        assert retry(store, "out_of_memory").exit_code == 0
        assert read_micro_batch(store.folder(run_id)) == expected
        assert store.state(run_id) == "pending"
    publish_out_of_memory(store, run_id, Split(micro_batch=1))
    answer = retry(store, "oom")
    assert "with one sequence at a time, and no smaller micro-batch exists" in answer.output
    assert answer.exit_code == 1
    assert store.state(run_id) == "out_of_memory"


def test_a_damaged_limit_fails_the_cell_with_the_remedy(tmp_path: Path) -> None:
    store, run_id = prepared(tmp_path, train_tokens=2560)
    (store.folder(run_id) / MICRO_BATCH_FILE).write_text("{")
    assert run_cell(store.root, Job(run_id=run_id, wandb_mode="disabled")) == "failed"
    record = store.record(run_id)
    assert record is not None
    assert str(record.reason).endswith("does not hold a positive micro_batch; remove the file")


def test_a_split_that_does_not_fit_is_refused_before_anything_starts(tmp_path: Path) -> None:
    sweep = write_tiny_sweep(tmp_path, train_tokens=2560)
    root = tmp_path / "runs"
    answer = CliRunner().invoke(main, ["run", str(sweep), "--root", str(root), "--devices", "3"])
    assert answer.exit_code == 2
    assert answer.output == (
        "error: batch_tokens=256 holds 8 sequences, which devices=3 cannot share equally; take "
        "--devices 2, or a batch_tokens that is a multiple of seq_len x 3\n"
    )
    assert not (root / "cells").exists()
