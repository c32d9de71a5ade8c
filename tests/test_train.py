"""Training one run: resume, trunk and branches, divergence."""

from __future__ import annotations

import json
import logging
import math
import os
import signal
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from scaling import watch
from scaling.checkpoint import CHECKPOINT, FORK
from scaling.record import RunRecord
from scaling.spec import RunSpec
from scaling.split import Split
from scaling.text import Text
from scaling.train import _trainer, run
from scaling.watch import Interrupted, Progress, Watch
from tests.factories import make_text, spec_for

ARMS = [("decoder", "clm"), ("encoder", "mlm"), ("bert", "mlm+nsp")]


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Text:
    return make_text(tmp_path_factory.mktemp("text"))


def train_run(spec: RunSpec, text: Text, folder: Path, **options: object) -> RunRecord:
    return run(spec, text=text, folder=folder, **options)  # type: ignore[arg-type]


def same_weights(one: Path, other: Path) -> bool:
    first, second = (load_file(folder / "weights.safetensors") for folder in (one, other))
    return first.keys() == second.keys() and all(
        torch.equal(first[name], second[name]) for name in first
    )


def long_spec(text: Text, **changes: object) -> RunSpec:
    """150 steps, with readings at 64, 91 and 128."""
    return spec_for(text, train_tokens=512 * 150, **changes)


@pytest.mark.parametrize(("arch", "objective"), ARMS)
def test_an_interrupted_run_ends_like_one_left_alone(
    arch: str, objective: str, text: Text, tmp_path: Path
) -> None:
    spec = long_spec(text, arch=arch, objective=objective)
    whole = train_run(spec, text, tmp_path / "whole")
    stops = iter([40, 91, 140])
    stop = next(stops)

    def interrupt_at(step: int) -> None:
        if step == stop:
            os.kill(os.getpid(), signal.SIGTERM)

    for attempt in range(3):
        with pytest.MonkeyPatch.context() as patch:
            before = Watch.after_step
            patch.setattr(
                Watch,
                "after_step",
                lambda self, step, before=before: (interrupt_at(step), before(self, step)),
            )
            with pytest.raises(Interrupted):
                train_run(spec, text, tmp_path / "parts", attempts=attempt + 1)
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        stop = next(stops, None)
    parts = train_run(spec, text, tmp_path / "parts", attempts=4)
    assert parts.result() == whole.result()
    assert same_weights(tmp_path / "parts", tmp_path / "whole")
    assert parts.provenance.spent_flops == whole.provenance.spent_flops == whole.train_flops


def test_a_killed_run_goes_on_from_its_last_checkpoint(
    text: Text, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No signal reaches the process: the steps since the last checkpoint are repeated."""
    spec = long_spec(text)
    whole = train_run(spec, text, tmp_path / "whole")
    monkeypatch.setattr(watch, "CHECKPOINT_SECONDS", 0.0)
    before = Watch.after_step

    class Killed(Exception):
        pass

    def die_at_100(self: Watch, step: int) -> None:
        if step == 100:
            raise Killed
        before(self, step)

    monkeypatch.setattr(Watch, "after_step", die_at_100)
    with pytest.raises(Killed):
        train_run(spec, text, tmp_path / "parts")
    monkeypatch.setattr(Watch, "after_step", before)
    resumed_from = []

    def note(progress: Progress) -> None:
        resumed_from.append(progress.tokens)

    monkeypatch.setattr(watch, "PROGRESS_SECONDS", 0.0)
    parts = train_run(spec, text, tmp_path / "parts", on_progress=note)
    assert resumed_from[0] == 100 * spec.batch_tokens, "step 99 was on disk, step 100 was not"
    assert parts.result() == whole.result()


@pytest.mark.parametrize(("arch", "objective"), ARMS)
def test_a_branch_from_a_trunk_equals_a_run_from_scratch(
    arch: str, objective: str, text: Text, tmp_path: Path
) -> None:
    short = spec_for(text, arch=arch, objective=objective, train_tokens=512 * 80)
    long = long_spec(text, arch=arch, objective=objective)
    train_run(short, text, tmp_path / "short")
    branch = train_run(long, text, tmp_path / "branch", fork=tmp_path / "short" / FORK)
    scratch = train_run(long, text, tmp_path / "scratch")
    assert branch.result() == scratch.result()
    assert same_weights(tmp_path / "branch", tmp_path / "scratch")
    assert branch.provenance.forked_from == short.run_id
    assert scratch.provenance.forked_from is None
    share = branch.provenance.spent_flops / branch.train_flops
    assert share == pytest.approx((150 - 76) / 150)


def test_a_trunk_that_went_too_far_or_is_another_is_not_used(text: Text, tmp_path: Path) -> None:
    long, short = long_spec(text), spec_for(text)
    other = spec_for(text, train_tokens=512 * 300, seed=1)
    train_run(long, text, tmp_path / "long")
    for spec in (short, other):
        record = train_run(spec, text, tmp_path / spec.run_id, fork=tmp_path / "long" / FORK)
        assert record.provenance.forked_from is None


def test_a_torn_checkpoint_is_passed_over(text: Text, tmp_path: Path) -> None:
    spec = spec_for(text)
    whole = train_run(spec, text, tmp_path / "whole")
    torn = tmp_path / "torn"
    torn.mkdir()
    (torn / CHECKPOINT).write_bytes((tmp_path / "whole" / FORK).read_bytes()[:2000])
    assert train_run(spec, text, torn).result() == whole.result()


def test_no_pickle_is_executed_from_a_checkpoint(text: Text, tmp_path: Path) -> None:
    class Exploit:
        def __reduce__(self) -> tuple:
            return (Path.touch, (tmp_path / "owned",))

    torch.save({"header": Exploit()}, tmp_path / CHECKPOINT)
    train_run(spec_for(text), text, tmp_path)
    assert not (tmp_path / "owned").exists()


def test_a_run_learns_more_than_word_frequencies(text: Text, tmp_path: Path) -> None:
    record = train_run(long_spec(text, peak_lr=0.01), text, tmp_path)
    loss = record.losses["clm"]
    assert loss.unigram_nats_per_target is not None
    assert loss.nats_per_target < loss.unigram_nats_per_target - 0.2
    assert record.bits_per_byte == pytest.approx(loss.nats_per_target / math.log(2), rel=1e-3)
    assert record.bits_per_byte_kind == "exact"
    validation = [p.nats_per_target for p in record.curve if p.split == "validation"]
    assert validation[-1] < validation[0]
    assert [p.tokens // 512 for p in record.curve if p.split == "train"] == [64, 91, 128, 150]


def test_a_log_holds_no_notes_of_lightning(
    text: Text, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.INFO):
        train_run(spec_for(text, train_tokens=512 * 10), text, tmp_path)
    assert [
        r for r in caplog.records if r.name.startswith(("pytorch_lightning", "lightning"))
    ] == []
    assert capfd.readouterr() == ("", "")


def test_counts_of_a_record(text: Text, tmp_path: Path) -> None:
    spec = spec_for(text, arch="encoder", objective="mlm")
    started = time.monotonic()
    record = train_run(spec, text, tmp_path)
    assert record.tokens_seen == spec.train_tokens
    provenance = record.provenance
    assert 0 < provenance.train_seconds < provenance.wall_seconds < time.monotonic() - started
    assert record.tokens_predicted == pytest.approx(0.15 * spec.train_tokens, rel=0.1)
    assert record.train_flops == record.train_flops_per_token * spec.train_tokens
    assert record.yardsticks == {"mlm": "mlm@0.15"}
    assert RunRecord.from_dict(record.to_dict()) == record


def test_divergence_ends_the_run_at_once(text: Text, tmp_path: Path) -> None:
    record = train_run(spec_for(text, peak_lr=1e30, gradient_clip=0.0), text, tmp_path)
    assert record.status == "diverged"
    assert record.reason is not None
    assert "not finite" in record.reason
    assert record.tokens_seen < record.spec.train_tokens
    assert record.losses == {}
    assert record.bits_per_byte is None
    assert "diverged" in record.missing["bits_per_byte"]


def test_the_wrong_text_is_refused(text: Text, tmp_path: Path) -> None:
    spec = spec_for(text).replace(corpus_fingerprint="another")
    with pytest.raises(ValueError, match="plan it again"):
        train_run(spec, text, tmp_path)


def test_losing_the_claim_stops_the_writing(text: Text, tmp_path: Path) -> None:
    class Lost(Exception):
        pass

    def lost() -> None:
        raise Lost

    with pytest.raises(Lost):
        train_run(spec_for(text), text, tmp_path, check_fence=lost)
    assert list(tmp_path.iterdir()) == []


def test_a_tiny_validation_set_gives_a_record_without_an_error(text: Text, tmp_path: Path) -> None:
    record = train_run(spec_for(text, eval_tokens=64), text, tmp_path)
    assert record.losses["clm"].standard_error is None
    assert record.bits_per_byte_standard_error is None
    assert "single batch" in record.missing["standard_error"]
    assert RunRecord.from_dict(json.loads(record.to_json())) == record


def test_what_an_attempt_had_done_travels_with_its_error(
    text: Text, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(Exception):
        pass

    def break_it(progress: Progress) -> None:
        if progress.tokens >= 512 * 70:
            raise Broken

    monkeypatch.setattr(watch, "PROGRESS_SECONDS", 0.0)
    with pytest.raises(Broken) as caught:
        train_run(long_spec(text), text, tmp_path, on_progress=break_it)
    spent = caught.value.spent  # type: ignore[attr-defined]
    assert spent.tokens_seen == 512 * 70
    assert spent.session.seconds > 0
    assert {point.tokens for point in spent.curve} == {512 * 64}


def test_a_run_inside_a_slurm_job_is_one_process_all_the_same(
    text: Text, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What Lightning would take for three processes that srun started, and refuse.
    for name, value in {"NTASKS": "3", "JOB_NAME": "mine", "JOB_ID": "7", "PROCID": "1"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    trainer = _trainer(spec_for(text), Split(), "auto")
    assert (trainer.world_size, trainer.global_rank) == (1, 0)


def test_a_run_on_a_login_node_of_slurm_warns_of_nothing(
    tmp_path: Path, text: Text, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "srun").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    record = train_run(spec_for(text, train_tokens=512 * 8), text, tmp_path / "run")
    assert record.status == "done"
