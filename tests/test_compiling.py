"""Compiled steps: which runs have them, and that they learn the same."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from scaling import machine
from scaling.checkpoint import FORK
from scaling.compiling import AUTO_FLOPS, CompileError, check_switch, choose, is_compiled, notes
from scaling.record import RunRecord
from scaling.spec import RunSpec
from scaling.text import Text
from scaling.train import run
from scaling.watch import Interrupted, Watch
from scaling.worker import run_cell
from tests.factories import make_spec, make_text, spec_for
from tests.test_train import same_weights
from tests.test_worker import planned


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Text:
    return make_text(tmp_path_factory.mktemp("text"))


@pytest.fixture
def no_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine whose compiler works no better than a missing one."""
    broken = tmp_path / "c++"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CXX", str(broken))
    machine.compiler_trouble.cache_clear()
    yield
    machine.compiler_trouble.cache_clear()


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty place for compiled code, which the tests of this file fill and share."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        patch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
        yield folder
        os.environ.pop("TORCHINDUCTOR_CACHE_DIR", None)
        torch._dynamo.reset()


def train_afresh(spec: RunSpec, text: Text, folder: Path, **options: Any) -> RunRecord:
    """A compiled run whose code comes from the disk, as in a process that was just started."""
    torch._dynamo.reset()
    return run(spec, text=text, folder=folder, compiled=True, **options)


def half_precision(**changes: Any) -> RunSpec:
    return make_spec(precision="bf16", **changes)


def test_auto_compiles_shapes_that_the_sweep_trains_for_long() -> None:
    short, long = half_precision(), half_precision(train_tokens=512 * 40)
    other_shape, deeper = half_precision(d_model=64), half_precision(n_layer=2, seed=1)
    enough = AUTO_FLOPS["bf16"]
    trained = [(short, 0.1 * enough), (long, 0.3 * enough), (other_shape, 0.9 * enough)]
    assert set(choose("auto", trained).values()) == {"off"}
    # Depth and seed need no code of their own, and horizons of a trunk are treated alike.
    found = choose("auto", [*trained, (deeper, 0.6 * enough)])
    assert {run_id for run_id, choice in found.items() if choice == "wanted"} == {
        short.run_id, long.run_id, deeper.run_id,
    }  # fmt: skip
    # In float32 compiled code is no faster.
    assert set(choose("auto", [(make_spec(), 100 * enough)]).values()) == {"off"}


def test_the_switch_overrules_length() -> None:
    trained = [(make_spec(), 1.0), (make_spec(seed=1), 1e30)]
    assert set(choose("on", trained).values()) == {"required"}
    assert set(choose("off", trained).values()) == {"off"}


def test_without_a_compiler_one_line_says_what_it_costs(no_compiler: None) -> None:
    said: list[str] = []
    assert not is_compiled("wanted", devices=1, say=said.append)
    (line,) = said
    assert "apt install" in line
    assert "costs up to a third" in line
    assert notes(["off", "wanted"], is_here=True) == said
    assert notes(["off", "off"], is_here=True) == []
    for ask in (
        lambda: is_compiled("required", devices=1),
        lambda: check_switch("on", devices=1, is_here=True),
    ):
        with pytest.raises(CompileError, match="apt install"):
            ask()


def test_steps_that_devices_share_are_not_compiled(no_compiler: None) -> None:
    assert not is_compiled("required", devices=2)
    with pytest.raises(CompileError, match="--devices 1"):
        check_switch("on", devices=2, is_here=False)
    check_switch("auto", devices=2, is_here=True)


def test_a_cell_without_a_compiler_trains_as_it_is(
    no_compiler: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, (job, _) = planned(tmp_path)
    assert run_cell(store.root, replace(job, compile="required")) == "failed"
    record = store.record(job.run_id)
    assert record is not None
    assert record.reason is not None
    assert "no C++ compiler" in record.reason
    assert store.retry(job.run_id) == "failed"
    assert run_cell(store.root, replace(job, compile="wanted")) == "done"
    assert "steps are not compiled" in capsys.readouterr().out
    record = store.record(job.run_id)
    assert record is not None
    assert not record.provenance.compiled  # type: ignore[union-attr]


@pytest.mark.slow
@pytest.mark.parametrize(("arch", "objective"), [("decoder", "clm"), ("encoder", "mlm")])
@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-4), ("bf16", 0.02)])
def test_a_compiled_run_learns_what_an_eager_one_learns(
    arch: str,
    objective: str,
    precision: str,
    tolerance: float,
    text: Text,
    tmp_path: Path,
    cache: Path,
) -> None:
    spec = spec_for(
        text, arch=arch, objective=objective, precision=precision, train_tokens=512 * 100, n_layer=2
    )
    torch._dynamo.utils.counters.clear()
    fast = train_afresh(spec, text, tmp_path / "fast")
    # One block for both layers, and the loss; evaluation compiled nothing.
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 2
    plain = run(spec, text=text, folder=tmp_path / "plain")
    assert (fast.provenance.compiled, plain.provenance.compiled) == (True, False)
    assert not same_weights(tmp_path / "fast", tmp_path / "plain"), "it was not compiled"
    for one, other in zip(fast.curve, plain.curve, strict=True):
        assert one.nats_per_target == pytest.approx(other.nats_per_target, abs=tolerance)
    term = fast.losses[objective]
    assert term.nats_per_target == pytest.approx(
        plain.losses[objective].nats_per_target, abs=tolerance
    )


@pytest.mark.slow
def test_a_compiled_run_that_is_interrupted_or_branches_ends_bit_for_bit_the_same(
    text: Text, tmp_path: Path, cache: Path
) -> None:
    short = spec_for(text, train_tokens=512 * 80)
    long = spec_for(text, train_tokens=512 * 120)
    whole = train_afresh(long, text, tmp_path / "whole")
    train_afresh(short, text, tmp_path / "short")
    branch = train_afresh(long, text, tmp_path / "branch", fork=tmp_path / "short" / FORK)
    assert branch.provenance.forked_from == short.run_id
    before = Watch.after_step

    def interrupt(self: Watch, step: int) -> None:
        if step == 41:
            os.kill(os.getpid(), signal.SIGTERM)
        before(self, step)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Watch, "after_step", interrupt)
        with pytest.raises(Interrupted):
            train_afresh(long, text, tmp_path / "parts")
    parts = train_afresh(long, text, tmp_path / "parts")
    assert parts.result() == branch.result() == whole.result()
    for name in ("parts", "branch"):
        assert same_weights(tmp_path / name, tmp_path / "whole")


_PROCESS = """
import json, sys, torch
from pathlib import Path
from tests.factories import make_text, spec_for
from scaling.train import run
torch.set_num_threads(1)
folder = Path(sys.argv[1])
folder.mkdir()
text = make_text(folder)
run(spec_for(text), text=text, folder=folder / "run", compiled=True)
print(json.dumps(torch._dynamo.utils.counters["inductor"]))
"""


@pytest.mark.slow
def test_a_second_process_finds_compiled_code_on_the_disk(tmp_path: Path, cache: Path) -> None:
    def start(number: int) -> tuple[dict[str, int], set[Path]]:
        command = [sys.executable, "-c", _PROCESS, str(tmp_path / str(number))]
        environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache")}
        environment.pop("TORCHINDUCTOR_CACHE_DIR", None)
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, env=environment,
            cwd=Path(__file__).parents[1],
        )  # fmt: skip
        return json.loads(done.stdout.splitlines()[-1]), set((tmp_path / "cache").rglob("*.so"))

    cold, code = start(1)
    warm, code_after = start(2)
    assert cold["fxgraph_cache_miss"] > 0
    assert code
    assert warm.get("fxgraph_cache_miss", 0) == 0
    assert warm["fxgraph_cache_hit"] > 0
    assert code_after == code
