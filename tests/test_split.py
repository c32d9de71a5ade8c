"""A batch that is cut into micro-batches teaches what the whole batch does."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from scaling.models import build_model
from scaling.objectives import OBJECTIVES, Batch
from scaling.outcome import ended_record
from scaling.record import RunRecord
from scaling.spec import RunSpec
from scaling.split import (
    MICRO_BATCH_FILE,
    Split,
    SplitError,
    read_micro_batch,
    smaller_micro_batch,
    write_micro_batch,
)
from scaling.text import Text
from scaling.train import run
from scaling.watch import Interrupted, Watch
from tests.factories import make_spec, make_text, spec_for

ARMS = [("decoder", "clm"), ("encoder", "mlm"), ("bert", "mlm+nsp")]


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Text:
    return make_text(tmp_path_factory.mktemp("text"))


def gradients(spec: RunSpec, batches: list[Batch]) -> dict[str, torch.Tensor]:
    """Summed over the batches, each counting its nats over the targets that it names."""
    model, objective = build_model(spec), OBJECTIVES[spec.objective]
    for batch in batches:
        terms = objective.nll(model, batch).values()
        torch.stack([term.nats / term.targets for term in terms]).sum().backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def same_losses(one: RunRecord, other: RunRecord) -> None:
    """To 1e-5, with equal counts."""
    assert other.tokens_predicted == one.tokens_predicted
    assert other.losses.keys() == one.losses.keys()
    for term, loss in one.losses.items():
        assert other.losses[term].targets == loss.targets
        assert other.losses[term].nats_per_target == pytest.approx(loss.nats_per_target, rel=1e-5)
        error, other_error = loss.standard_error, other.losses[term].standard_error
        assert (error is None) == (other_error is None)
        assert other_error is None or other_error == pytest.approx(error, rel=1e-4, abs=1e-6)
    assert other.bits_per_byte == pytest.approx(one.bits_per_byte, rel=1e-5)
    for mine, theirs in zip(one.curve, other.curve, strict=True):
        assert (mine.tokens, mine.split, mine.term) == (theirs.tokens, theirs.split, theirs.term)
        assert theirs.nats_per_target == pytest.approx(mine.nats_per_target, rel=1e-5)


@pytest.mark.parametrize(("arch", "objective"), ARMS)
def test_gradients_of_the_pieces_add_up_to_those_of_the_batch(
    arch: str, objective: str, text: Text
) -> None:
    spec = spec_for(text, arch=arch, objective=objective, mask_rate=0.4)
    batch = OBJECTIVES[objective].training_batch(text, spec, 3)
    # Documents end within sequences, so that pieces hold different numbers of targets.
    pieces = [batch.shard(piece, 8) for piece in range(8)]
    whole, summed = gradients(spec, [batch]), gradients(spec, pieces)
    assert whole.keys() == summed.keys()
    for name, gradient in whole.items():
        torch.testing.assert_close(summed[name], gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("arch", "objective"), ARMS)
def test_micro_batches_change_no_result(
    arch: str, objective: str, text: Text, tmp_path: Path
) -> None:
    spec = spec_for(text, arch=arch, objective=objective, train_tokens=512 * 50)
    whole = run(spec, text=text, folder=tmp_path / "whole")
    cut = run(spec, text=text, folder=tmp_path / "cut", split=Split(micro_batch=4))
    same_losses(whole, cut)
    assert (whole.provenance.micro_batch, cut.provenance.micro_batch) == (None, 4)
    assert cut.provenance.devices == 1


def test_a_checkpoint_serves_a_run_with_other_micro_batches(
    text: Text, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after running out of memory: no step is left out, none is made of too few pieces."""
    spec = spec_for(text, arch="encoder", objective="mlm", train_tokens=512 * 70)
    whole = run(spec, text=text, folder=tmp_path / "whole")
    before = Watch.after_step
    stops = {33: None, 41: 4, 50: 2}

    def interrupt(self: Watch, step: int) -> None:
        if step in stops:
            os.kill(os.getpid(), signal.SIGUSR1)
        before(self, step)

    monkeypatch.setattr(Watch, "after_step", interrupt)
    for micro_batch in stops.values():
        with pytest.raises(Interrupted):
            run(spec, text=text, folder=tmp_path / "cut", split=Split(micro_batch=micro_batch))
    same_losses(whole, run(spec, text=text, folder=tmp_path / "cut", split=Split(micro_batch=8)))


def test_micro_batches_are_no_part_of_what_a_run_is(text: Text, tmp_path: Path) -> None:
    spec = spec_for(text)
    record = run(spec, text=text, folder=tmp_path, split=Split(micro_batch=4))
    assert record.run_id == spec.run_id
    assert "micro_batch" not in json.dumps(record.spec.to_dict())
    assert RunRecord.from_dict(json.loads(record.to_json())) == record


@pytest.mark.parametrize(
    ("split", "message"),
    [
        (Split(devices=0), "devices=0 is not positive; give at least 1"),
        (Split(micro_batch=0), "micro_batch=0 is not positive; give at least 1"),
        (
            Split(devices=3),
            "batch_tokens=512 holds 16 sequences, which devices=3 cannot share equally; take "
            "--devices 2, or a batch_tokens that is a multiple of seq_len x 3",
        ),
        (
            Split(devices=2, micro_batch=3),
            "batch_tokens=512 holds 16 sequences, not a multiple of devices=2 x micro_batch=3; "
            "take micro_batch 2",
        ),
    ],
)
def test_a_batch_that_cannot_be_cut_so_is_refused_in_one_line(split: Split, message: str) -> None:
    with pytest.raises(SplitError) as raised:
        split.check(make_spec())
    assert str(raised.value) == message


def test_pieces_of_a_split() -> None:
    spec = make_spec()  # 16 sequences
    assert Split().micro_batches(spec) == 1
    assert Split(micro_batch=4).micro_batches(spec) == 4
    assert Split(devices=2, micro_batch=4).micro_batches(spec) == 2
    assert Split(devices=2, micro_batch=100).micro_batches(spec) == 1
    whole = Split(devices=2)
    assert whole.within(None, spec) is whole
    assert whole.within(8, spec) is whole
    assert whole.within(5, spec) == Split(devices=2, micro_batch=4)
    assert Split(micro_batch=2).within(4, spec) == Split(micro_batch=2)


def out_of_memory(**changes: Any) -> RunRecord:
    """The record of a run whose batch holds 12 sequences."""
    spec = make_spec(
        batch_tokens=32 * 12, train_tokens=32 * 120, warmup_tokens=0, cooldown_tokens=0
    )
    return ended_record(spec, "out_of_memory", "no", split=Split(**changes))


def test_each_retry_halves_down_to_one_sequence() -> None:
    sizes: list[int | None] = [None]
    while (smaller := smaller_micro_batch(out_of_memory(micro_batch=sizes[-1]))) is not None:
        sizes.append(smaller)
    assert sizes == [None, 6, 3, 1]
    assert smaller_micro_batch(out_of_memory(devices=2)) == 3
    assert smaller_micro_batch(out_of_memory(devices=12)) is None


def test_the_limit_of_a_cell_lies_in_its_folder(tmp_path: Path) -> None:
    assert read_micro_batch(tmp_path) is None
    write_micro_batch(tmp_path, 4)
    assert read_micro_batch(tmp_path) == 4
    for content in ("{", "[]", '{"micro_batch": 0}', '{"micro_batch": "4"}'):
        (tmp_path / MICRO_BATCH_FILE).write_text(content)
        with pytest.raises(SplitError, match="does not hold a positive micro_batch; remove"):
            read_micro_batch(tmp_path)
