"""Several real processes train what one process trains (on the CPU, connected by gloo)."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file

from scaling import claims, watch
from scaling.checkpoint import CHECKPOINT
from scaling.engines.cell_process import Running
from scaling.engines.local import run_jobs
from scaling.jobs import Job, Queue, make_jobs
from scaling.spec import RunSpec
from scaling.split import Split, SplitError, Strategy
from scaling.store import Store
from scaling.sweep import expand
from scaling.text import Text
from scaling.train import run
from scaling.watch import Interrupted, Progress
from scaling.worker import run_cell
from tests.factories import make_text, spec_for
from tests.test_local import Silent
from tests.test_split import same_losses
from tests.tiny_sweep import loader, write_tiny_sweep

TWO: dict[Strategy, Split] = {
    "ddp": Split(devices=2, strategy="ddp"),
    "fsdp": Split(devices=2, strategy="fsdp"),
}


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Text:
    return make_text(tmp_path_factory.mktemp("text"))


def spec_of(text: Text, arch: str = "encoder", objective: str = "mlm") -> RunSpec:
    """70 steps with readings at 64 and 70; an odd number of validation batches."""
    return spec_for(
        text, arch=arch, objective=objective, n_layer=2, train_tokens=512 * 70, eval_tokens=32 * 40
    )


def planned(folder: Path, *, train_tokens: int, **options: Any) -> tuple[Store, list[Job]]:
    """A store with one cell of a tiny sweep, and its job."""
    store = Store(folder / "runs")
    sweep = expand(write_tiny_sweep(folder, train_tokens=train_tokens), loader(store.root))
    store.add(sweep.cells[0].spec)
    return store, make_jobs(sweep.cells, wandb_mode="disabled", **options)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "weights.safetensors")


def same_weights(one: Path, other: Path) -> bool:
    first, second = weights(one), weights(other)
    return first.keys() == second.keys() and all(
        torch.equal(first[name], second[name]) for name in first
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("strategy", "arch", "objective"),
    [
        ("ddp", "encoder", "mlm"),
        ("ddp", "bert", "mlm+nsp"),
        ("ddp", "bert", "mlm"),
        ("fsdp", "decoder", "clm"),
        ("fsdp", "bert", "mlm+nsp"),
    ],
)
def test_two_processes_equal_one(
    strategy: Strategy, arch: str, objective: str, text: Text, tmp_path: Path
) -> None:
    spec = spec_of(text, arch, objective)
    one = run(spec, text=text, folder=tmp_path / "one")
    # In micro-batches, so that both ways of cutting are at work.
    split = Split(devices=2, strategy=strategy, micro_batch=4)
    two = run(spec, text=text, folder=tmp_path / "two", split=split)
    same_losses(one, two)
    assert two.tokens_unique == one.tokens_unique
    assert (two.provenance.devices, two.provenance.strategy) == (2, strategy)
    shapes = [{n: t.shape for n, t in weights(tmp_path / n).items()} for n in ("one", "two")]
    assert shapes[0] == shapes[1]


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_a_signal_leaves_one_checkpoint_from_which_both_and_one_go_on(
    strategy: Strategy, text: Text, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, split = spec_of(text, "bert", "mlm+nsp"), TWO[strategy]
    whole = run(spec, text=text, folder=tmp_path / "whole", split=split)
    monkeypatch.setattr(watch, "PROGRESS_SECONDS", 0.0)

    def interrupt(progress: Progress) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    parts = tmp_path / "parts"
    with pytest.raises(Interrupted):
        run(spec, text=text, folder=parts, split=split, on_progress=interrupt)
    checkpoint = torch.load(parts / CHECKPOINT, weights_only=True)
    assert 0 < checkpoint["header"]["step"] < spec.total_steps
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / CHECKPOINT).write_bytes((parts / CHECKPOINT).read_bytes())

    resumed = run(spec, text=text, folder=parts, split=split)
    assert resumed.result() == whole.result()
    assert same_weights(parts, tmp_path / "whole")
    same_losses(whole, run(spec, text=text, folder=alone))


@pytest.mark.slow
def test_a_checkpoint_of_one_device_serves_two(text: Text, tmp_path: Path) -> None:
    spec = spec_of(text, "bert", "mlm+nsp")
    whole = run(spec, text=text, folder=tmp_path / "whole")
    fork = tmp_path / "whole" / "fork.pt"
    branch = run(spec, text=text, folder=tmp_path / "two", split=TWO["fsdp"], fork=fork)
    same_losses(whole, branch)
    # Its optimizer's states belong to the same parameters: the last steps move all alike.
    ones, twos = weights(tmp_path / "whole"), weights(tmp_path / "two")
    for name, tensor in ones.items():
        if not name.endswith("qkv.bias"):  # that of the keys has no effect, and no gradient
            torch.testing.assert_close(twos[name], tensor, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_a_killed_rank_is_a_recorded_death_and_the_cell_goes_on_from_its_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, (job,) = planned(tmp_path, train_tokens=256 * 300, devices=2)
    folder = store.folder(job.run_id)
    monkeypatch.setattr(watch, "PROGRESS_SECONDS", 0.0)
    monkeypatch.setattr(watch, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(watch, "MEETING_SECONDS", 0.1)

    def kill_rank_1(progress: Progress) -> None:
        if progress.tokens > 256 * 100:
            (rank_1,) = active_children()
            rank_1.kill()

    assert run_cell(store.root, job, on_progress=kill_rank_1) == "interrupted"
    assert claims.deaths(folder) == ["rank 1 was killed by SIGKILL; see log.txt"]
    assert store.state(job.run_id) == "pending"
    reached = torch.load(folder / CHECKPOINT, weights_only=True)["header"]["step"]
    assert reached > 1

    started_at = []
    assert run_cell(store.root, job, on_progress=lambda p: started_at.append(p.tokens)) == "done"
    assert started_at[0] == 256 * (reached + 1)
    killed = store.record(job.run_id)

    (tmp_path / "alone").mkdir()
    alone, (other,) = planned(tmp_path / "alone", train_tokens=256 * 300, devices=2)
    assert run_cell(alone.root, other) == "done"
    whole = alone.record(other.run_id)
    assert killed is not None
    assert whole is not None
    assert killed.result() == whole.result() | {"spec": killed.result()["spec"]}


@pytest.mark.slow
def test_a_cell_on_two_devices_that_runs_over_its_time(tmp_path: Path) -> None:
    store, (job,) = planned(tmp_path, train_tokens=256 * 100_000, devices=2, timeout_seconds=25.0)
    assert run_cell(store.root, job) == "timeout"
    assert (store.folder(job.run_id) / CHECKPOINT).exists()
    assert active_children() == []


class KillsRank0(Silent):
    """Kills the first process of a cell once it trains, and notes which ones it had started."""

    def __init__(self) -> None:
        super().__init__()
        self.beside: list[psutil.Process] = []

    def update(self, queue: Queue, running: Sequence[Running]) -> None:
        for cell in running:
            if cell.progress and not self.beside:
                rank_0 = psutil.Process(cell.process.pid)
                self.beside = [p for p in rank_0.children() if "spawn_main" in str(p.cmdline())]
                rank_0.kill()


@pytest.mark.slow
def test_the_engine_s_child_is_rank_0_and_takes_the_others_along(tmp_path: Path) -> None:
    store, (job,) = planned(tmp_path, train_tokens=256 * 1200, devices=2)
    display = KillsRank0()
    run_jobs(store.root, [job], workers=2, display=display)
    assert len(display.beside) == 1
    assert not display.beside[0].is_running()
    record = store.record(job.run_id)
    assert record is not None
    assert (record.status, record.provenance.devices) == ("done", 2)
    assert record.provenance.attempts == 2
    assert "killed by SIGKILL" in claims.deaths(store.folder(job.run_id))[0]


def test_a_batch_that_devices_cannot_share_is_refused_before_anything_starts(
    text: Text, tmp_path: Path
) -> None:
    with pytest.raises(SplitError, match="16 sequences, which devices=3 cannot share equally"):
        run(spec_of(text), text=text, folder=tmp_path / "run", split=Split(devices=3))
    assert not (tmp_path / "run").exists()
