"""W&B, offline, with the real client; runs are read back by `wandb leet inspect`."""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
import wandb
from pytorch_lightning.demos.boring_classes import BoringModel

from scaling.bench.cache import write
from scaling.bench.measure import machine_key
from scaling.record import RunRecord, TermLoss
from scaling.spec import RunSpec
from scaling.throughput import MFU, TRAIN_FLOPS_PER_SECOND
from scaling.tracking import RunTracker, make_logger
from scaling.wandb_mirror.content import checksum_of, final_summary
from scaling.wandb_writer import COUNTERS
from tests.factories import make_record
from tests.wandb_environment import KEY
from tests.wandb_environment import clean_environment as clean
from tests.wandb_service import wandb_service

SPEC = RunSpec(
    arch="gpt",
    objective="clm",
    corpus="stdlib_text",
    corpus_fingerprint="c0ffee",
    tokenizer="bytes",
    tokenizer_fingerprint="beef",
    vocab_size=260,
    n_layer=2,
    d_model=32,
    n_head=2,
    d_ff=128,
    seq_len=32,
    train_tokens=10240,
    batch_tokens=512,
    warmup_tokens=512,
    cooldown_tokens=2048,
    peak_lr=0.004,
)
LABELS = {"size": "25k", "train_flops": 1e12, "seed": 0}
# Integers that float32 and, the last one, float64 cannot hold.
TOKENS = (2**24 + 1, 2**31 + 1, 2**53 + 1)
FLOPS = 123_456_789_012_345.0


def record(**changes: Any) -> RunRecord:
    """A record of `SPEC` with numbers that differ from each other."""
    values: dict[str, Any] = {
        "params": {"embedding": 8320, "blocks": 24576},
        "params_total": 32896,
        "params_non_embedding": 24576,
        "train_flops_per_token": 2e5,
        "train_flops": FLOPS,
        "train_flops_6nd": 1.5e9,
        "tokens_predicted": 9920,
        "tokens_unique": 5000,
        "losses": {"clm": TermLoss(nats_per_target=1.25, targets=4000, standard_error=0.01)},
        "bits_per_byte": 1.8,
        "bits_per_byte_standard_error": 0.02,
    }
    return make_record(SPEC, **values | changes)


def tracker(root: Path, run_id: str = "run-a", **options: Any) -> RunTracker:
    made = make_logger(SPEC, run_id=run_id, root=root, sweep="ladder", labels=LABELS, **options)
    assert made is not None
    return made


def fragments(root: Path) -> list[Path]:
    return sorted((root / "wandb").glob("offline-run-*"))


def warnings_of_suite(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [line.getMessage() for line in caplog.records if line.name.startswith("scaling")]


class Logged:
    """What `wandb leet inspect` reads in one run folder."""

    def __init__(self, folder: Path) -> None:
        inspect = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(folder)]
        output = subprocess.run(inspect, capture_output=True, text=True, check=True).stdout
        self.records = [json.loads(line) for line in output.splitlines()]
        self.run = self.of_type("run")[0]
        self.config = self.run["config"]["update"]
        self.rows = [history["item"] for history in self.of_type("history")]
        self.summary: dict[str, Any] = {}
        for summary in self.of_type("summary"):
            self.summary.update(summary.get("update", {}))
        exits = self.of_type("exit")
        self.exit_code = exits[0].get("exit_code", 0) if exits else None

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        return [record[kind] for record in self.records if record["type"] == kind]


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clean(monkeypatch, tmp_path)


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Logged]:
    """One run with rows of both kinds, finished with a record."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", "offline")
        root = tmp_path_factory.mktemp("store")
        with tracker(root) as logger:
            for step, tokens in enumerate(TOKENS):
                row = {"train/clm_nats": 2.5 - step, "train/learning_rate": 0.004}
                logger.log_row(row, tokens=tokens, train_flops=FLOPS, step=step)
            logger.log_metrics({"validation/clm_nats": 1.5}, step=7)
            logger.finish(record())
        (folder,) = fragments(root)
        yield Logged(folder)


def test_mfu_is_the_share_of_a_measured_peak(tmp_path: Path) -> None:
    limits = {"core": {"matmul_flops_per_second": {"float32": 5e10}}, "gpus": []}
    content = {"schema_version": 1, "machine": machine_key(), "limits": limits}
    row = {TRAIN_FLOPS_PER_SECOND: 2e10}
    rows = []
    for number, measured in enumerate((False, True)):
        if measured:
            write(tmp_path / "cache", content)
        with tracker(tmp_path, run_id=f"run-{number}", mode="offline", devices=2) as logger:
            logger.log_row(row, tokens=1, train_flops=FLOPS, step=1)
            logger.finish(record())
        (folder,) = (f for f in fragments(tmp_path) if f.name.endswith(f"run-{number}"))
        rows.append(Logged(folder).rows[0])
    assert rows[0][TRAIN_FLOPS_PER_SECOND] == 2e10
    assert MFU not in rows[0], "nothing was measured then"
    assert rows[1][MFU] == pytest.approx(2e10 / (2 * 5e10))


def test_every_row_carries_exact_counters(logged: Logged) -> None:
    counters = [tuple(row[name] for name in COUNTERS) for row in logged.rows]
    expected = [(tokens, int(FLOPS), step) for step, tokens in enumerate(TOKENS)]
    assert counters == [*expected, expected[-1]]
    assert all(type(value) is int for row in counters for value in row)


def test_rows_carry_the_values_that_were_given(logged: Logged) -> None:
    assert [row.get("train/clm_nats") for row in logged.rows] == [2.5, 1.5, 0.5, None]
    assert [row.get("validation/clm_nats") for row in logged.rows] == [None, None, None, 1.5]


def test_run_has_the_identity_of_the_cell(logged: Logged) -> None:
    assert logged.run["run_id"] == "run-a"
    assert logged.run["run_group"] == "ladder"
    assert logged.run["job_type"] == "gpt"
    assert logged.run["tags"] == ["clm", "25k"]
    assert logged.run["project"] == "scaling"
    assert logged.run["resume"] is True


def test_config_is_the_spec_with_the_names_of_the_cell(logged: Logged) -> None:
    config = {key: value for key, value in logged.config.items() if key != "_wandb"}
    names = {"run_id": "run-a", "sweep": "ladder", "sweeps": ["ladder"], "labels": LABELS}
    assert config == SPEC.to_dict() | names
    assert logged.config["_wandb"] == {}


def test_metrics_are_defined_by_exact_names(logged: Logged) -> None:
    metrics = {metric.get("name"): metric for metric in logged.of_type("metric")}
    losses = {"train/clm_nats", "train/learning_rate", "validation/clm_nats"}
    assert metrics.keys() == losses | set(COUNTERS)
    assert {metrics[name]["step_metric"] for name in losses} == {"progress/tokens"}


def test_summary_holds_the_final_values_as_scalars(logged: Logged) -> None:
    final = {key: value for key, value in logged.summary.items() if key.startswith("final/")}
    assert final == {
        "final/clm_nats": 1.25,
        "final/bits_per_byte": 1.8,
        "final/bits_per_byte_kind": "exact",
        "final/params_total": 32896,
        "final/params_non_embedding": 24576,
        "final/train_flops": FLOPS,
        "final/train_tokens": 10240,
        "final/train_seconds": 1.0,
        "final/status": "done",
        "final/reason": None,
        "final/record": final_summary(record())["final/record"],
        "final/checksum": checksum_of(record()),
    }
    assert not any(isinstance(value, dict) for value in logged.summary.values())
    assert logged.exit_code == 0


def test_summary_of_a_diverged_run_has_no_bits_per_byte() -> None:
    diverged = record(
        status="diverged",
        reason="not finite at step 3",
        losses={},
        bits_per_byte=None,
        bits_per_byte_kind=None,
        bits_per_byte_standard_error=None,
    )
    found = final_summary(diverged)
    assert {name for name in found if "bits" in name or "nats" in name} == set()
    assert found["final/status"] == "diverged"
    assert found["final/reason"] == "not finite at step 3"


def test_an_error_in_training_fails_the_run(tmp_path: Path) -> None:
    logger = tracker(tmp_path)
    logger.log_row({"train/clm_nats": 1.0}, tokens=1, train_flops=1.0, step=1)
    error = RuntimeError("no memory")
    with pytest.raises(RuntimeError, match="no memory"), logger:
        raise error
    read = Logged(fragments(tmp_path)[0])
    assert read.exit_code == 1
    assert read.summary["final/status"] == "failed"
    assert read.summary["final/reason"] == "RuntimeError: no memory"
    assert len(read.rows) == 1


def test_a_resumed_run_is_a_second_fragment_of_the_same_id(tmp_path: Path) -> None:
    first = tracker(tmp_path)
    first.log_row({"train/clm_nats": 2.0}, tokens=512, train_flops=1.0, step=1)
    first.abort("interrupted", "SIGTERM")
    with tracker(tmp_path) as second:
        second.log_row({"train/clm_nats": 1.0}, tokens=1024, train_flops=2.0, step=2)
        second.finish(record())
    one, other = (Logged(folder) for folder in fragments(tmp_path))
    assert one.run["run_id"] == other.run["run_id"] == "run-a"
    tokens = [row["progress/tokens"] for read in (one, other) for row in read.rows]
    assert tokens == [512, 1024]
    assert [one.exit_code, other.exit_code] == [1, 0]


def test_two_runs_at_once_in_one_process_are_two_runs(tmp_path: Path) -> None:
    with tracker(tmp_path, "run-a") as one, tracker(tmp_path, "run-b", project="own") as other:
        one.log_row({"train/clm_nats": 1.0}, tokens=1, train_flops=1.0, step=1)
        other.log_row({"train/clm_nats": 2.0}, tokens=2, train_flops=1.0, step=1)
        one.finish(record())
        other.log_row({"train/clm_nats": 3.0}, tokens=3, train_flops=1.0, step=2)
        other.finish(record())
    read = {logged.run["run_id"]: logged for logged in map(Logged, fragments(tmp_path))}
    losses = {name: [row["train/clm_nats"] for row in run.rows] for name, run in read.items()}
    assert losses == {"run-a": [1.0], "run-b": [2.0, 3.0]}
    assert read["run-b"].run["project"] == "own"
    assert not {"WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_SERVICE"} & os.environ.keys()


# Lightning 2.6 asks torch 2.13 about its trees in a deprecated way.
@pytest.mark.filterwarnings("ignore:.*treespec, LeafSpec:FutureWarning")
# Where Slurm is installed, Lightning advises to start through it.
@pytest.mark.filterwarnings("ignore:The `srun` command is available")
def test_lightning_logs_through_it_with_counters_and_without_patterns(tmp_path: Path) -> None:
    class Model(BoringModel):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.log("train/learning_rate", 0.5, on_step=True)
            return super().training_step(batch, batch_idx)

    with tracker(tmp_path) as logger:
        logger.log_row({}, tokens=TOKENS[0], train_flops=FLOPS, step=1)
        options = {"enable_checkpointing": False, "enable_progress_bar": False}
        fit = pl.Trainer(
            logger=logger,
            accelerator="cpu",
            max_steps=2,
            log_every_n_steps=1,
            limit_val_batches=0,
            enable_model_summary=False,
            **options,  # type: ignore[arg-type]
        )
        fit.fit(Model(), torch.utils.data.DataLoader(torch.randn(4, 32)))  # type: ignore[arg-type]
        logger.finish(record())
    read = Logged(fragments(tmp_path)[0])
    assert [row.get("train/learning_rate") for row in read.rows] == [None, 0.5, 0.5]
    assert [row["progress/tokens"] for row in read.rows] == [TOKENS[0]] * 3
    assert all("name" in metric for metric in read.of_type("metric"))
    assert not any(key.startswith("trainer/") for row in read.rows for key in row)


def test_w_and_b_that_cannot_be_imported_ends_in_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with tracker(tmp_path) as logger:
        for step in range(3):
            logger.log_row({"train/clm_nats": 1.0}, tokens=step, train_flops=1.0, step=step)
        logger.experiment.log({"a": 1})
        logger.finish(record())
    (line,) = warnings_of_suite(caplog)
    assert line.startswith("W&B stops for this run: ModuleNotFoundError")
    assert fragments(tmp_path) == []


def test_a_run_that_breaks_while_logging_ends_in_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*args: Any, **kwargs: Any) -> None:
        raise OSError("disk quota exceeded")

    monkeypatch.setattr(wandb.Run, "log", full)
    with tracker(tmp_path) as logger:
        for step in range(3):
            logger.log_row({"train/clm_nats": 1.0}, tokens=step, train_flops=1.0, step=step)
        logger.finish(record())
    assert warnings_of_suite(caplog) == [
        "W&B stops for this run: OSError: disk quota exceeded; training goes on without it"
    ]
    assert Logged(fragments(tmp_path)[0]).rows == []


@pytest.mark.parametrize(
    ("key", "trouble"),
    [(None, "UsageError: No API key configured"), (KEY, "CommError: ")],
    ids=["no key", "unreachable server"],
)
def test_online_that_fails_goes_offline_with_one_warning(
    key: str | None,
    trouble: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    if key:
        monkeypatch.setenv("WANDB_API_KEY", key)
        monkeypatch.setenv("WANDB_INIT_TIMEOUT", "0.5")
    with tracker(tmp_path, mode="online") as logger:
        logger.log_row({"train/clm_nats": 1.0}, tokens=5, train_flops=1.0, step=1)
        logger.finish(record())
    (line,) = warnings_of_suite(caplog)
    assert line.startswith(f"W&B is offline for this run: {trouble}")
    assert [row["progress/tokens"] for row in Logged(fragments(tmp_path)[0]).rows] == [5]


@pytest.mark.slow
def test_online_sends_exact_counters_and_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    with wandb_service() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        with tracker(tmp_path, mode="online") as logger:
            for step, tokens in enumerate(TOKENS):
                logger.log_row({"train/clm_nats": 1.0}, tokens=tokens, train_flops=FLOPS, step=step)
            logger.finish(record())
        run = server.state.run("run-a")
        assert [row["progress/tokens"] for row in run.history] == list(TOKENS)
        assert run.summary["final/status"] == "done"
        assert run.exit_code == 0
        assert run.attributes["groupName"] == "ladder"
        assert list(server.state.runs) == [("team", "scaling", "run-a")]
        assert server.unknown == []
    assert capfd.readouterr() == ("", "")


def test_disabled_is_no_logger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    made = make_logger(SPEC, run_id="a", root=tmp_path, sweep="s", labels={})
    assert made is None
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_mode_counts_as_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("WANDB_MODE", "of-line")
    tracker(tmp_path).finish(record())
    (line,) = warnings_of_suite(caplog)
    assert line.startswith("WANDB_MODE='of-line' is unknown, taking offline")
    assert len(fragments(tmp_path)) == 1


def random_states() -> list[str]:
    numpy = np.random.get_state(legacy=False)
    return [repr(random.getstate()), repr(numpy), repr(torch.get_rng_state().tolist())]


def test_no_random_state_is_touched(tmp_path: Path) -> None:
    before = random_states()
    tracker(tmp_path).finish(record())
    assert random_states() == before


ONE_RUN = """
import sys, time
from pathlib import Path
from scaling.wandb_writer import WandbWriter
root, seconds = Path(sys.argv[1]), float(sys.argv[2])
writer = WandbWriter({"id": "alone", "project": "p"}, root=root, mode="offline")
writer.start()
end = time.monotonic() + seconds
step = 0
while time.monotonic() < end or step < 3:
    writer.put_row({"train/clm_nats": 1.0, "progress/tokens": step, "progress/step": step})
    step += 1
    time.sleep(0.05 if seconds else 0)
if seconds:
    import os
    os.kill(os.getpid(), 9)
writer.close({}, exit_code=0)
"""


def test_offline_is_silent_connects_to_nothing_and_keeps_to_the_store(tmp_path: Path) -> None:
    home, root = tmp_path / "home", tmp_path / "store"
    home.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        port = server.getsockname()[1]
        own = {
            "HOME": str(home),
            "WANDB_API_KEY": KEY,
            "WANDB_BASE_URL": f"http://127.0.0.1:{port}",
        }
        without = {"WANDB_CONFIG_DIR", "WANDB_MODE", "XDG_CACHE_HOME"}
        environment = {k: v for k, v in os.environ.items() if k not in without}
        done = subprocess.run(
            [sys.executable, "-c", ONE_RUN, str(root), "0"],
            env=environment | own,
            capture_output=True,
            text=True,
            check=True,
        )
        with pytest.raises(BlockingIOError):  # nobody has called
            server.accept()
    assert done.stdout == done.stderr == ""
    assert list(home.rglob("*")) == []
    assert len(Logged(fragments(root)[0]).rows) == 3
    contents = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert contents
    assert not any(KEY.encode() in content for content in contents)


@pytest.mark.slow
def test_a_killed_process_keeps_its_rows_but_for_the_last_seconds(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", ONE_RUN, str(tmp_path), "7"], check=False)
    assert done.returncode == -9
    read = Logged(fragments(tmp_path)[0])
    assert len(read.rows) > 20
    assert [row["progress/step"] for row in read.rows] == list(range(len(read.rows)))
    assert read.exit_code is None


FORKED = """
import multiprocessing, sys
from pathlib import Path
from scaling.wandb_writer import WandbWriter

def cell(root, number):
    writer = WandbWriter({"id": f"cell-{number}", "project": "p"}, root=Path(root), mode="offline")
    writer.start()
    writer.put_row({"train/clm_nats": float(number), "progress/tokens": number})
    writer.close({"final/status": "done"}, exit_code=0)

if __name__ == "__main__":
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["wandb", "wandb.sdk.launch", "scaling.wandb_writer"])
    cells = [context.Process(target=cell, args=(sys.argv[1], number)) for number in range(3)]
    for process in cells:
        process.start()
    for process in cells:
        process.join()
    sys.exit(sum(process.exitcode for process in cells))
"""


@pytest.mark.slow
def test_processes_forked_after_the_import_log_their_own_runs(tmp_path: Path) -> None:
    script = tmp_path / "forked.py"
    script.write_text(FORKED)
    path = os.pathsep.join(entry for entry in [str(Path.cwd()), *sys.path] if entry)
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path)],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == done.stderr == ""
    read = [Logged(folder) for folder in fragments(tmp_path)]
    found = sorted((run.run["run_id"], run.rows[0]["progress/tokens"]) for run in read)
    assert found == [("cell-0", 0), ("cell-1", 1), ("cell-2", 2)]
    assert {run.exit_code for run in read} == {0}


def test_the_process_that_plans_does_not_import_wandb() -> None:
    code = "import sys, scaling.wandb_writer; sys.exit('wandb' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
