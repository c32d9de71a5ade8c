"""RunRecord: JSON, schema version, honesty about missing values."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import torch

from scaling.checkpoint import Session
from scaling.outcome import Spent, ended_record
from scaling.record import SCHEMA_VERSION, RunRecord, TermLoss
from tests.factories import make_spec


def failed() -> RunRecord:
    spent = Spent(
        session=Session(seconds=2.0),
        curve=(),
        tokens_seen=512 * 3,
        tokens_predicted=1400,
        device=torch.device("cpu"),
    )
    return ended_record(make_spec(), "failed", "the disk burned", spent=spent)


def test_round_trip_through_json() -> None:
    record = failed()
    assert RunRecord.from_dict(json.loads(record.to_json())) == record


def test_the_result_leaves_out_what_a_second_run_would_change() -> None:
    values = failed().result()
    assert "provenance" not in values
    assert values["train_flops"] == failed().train_flops


def test_a_failed_run_has_no_numbers_and_says_why() -> None:
    record = failed()
    assert record.losses == {}
    assert record.bits_per_byte is None
    assert record.missing.keys() == {"losses", "bits_per_byte", "tokens_unique"}
    assert all("the disk burned" in why for why in record.missing.values())
    assert record.provenance.spent_flops == 3 * 512 * record.train_flops_per_token


def test_counts_are_there_whatever_happened() -> None:
    record = failed()
    assert record.params_total == sum(record.params.values())
    assert record.train_flops_6nd == 6 * record.params_non_embedding * record.spec.train_tokens


@pytest.mark.parametrize("version", [0, SCHEMA_VERSION + 1, None])
def test_another_schema_version_is_refused(version: Any) -> None:
    values = {**failed().to_dict(), "schema_version": version}
    with pytest.raises(ValueError, match="update the suite"):
        RunRecord.from_dict(values)


def test_a_done_run_without_a_finite_loss_is_our_bug() -> None:
    values = failed().to_dict() | {"status": "done", "reason": None}
    record = RunRecord.from_dict(values)
    loss = TermLoss(nats_per_target=math.nan, targets=1, standard_error=0.0)
    with pytest.raises(AssertionError, match="not finite"):
        RunRecord(**{n: getattr(record, n) for n in record.__slots__} | {"losses": {"clm": loss}})


def test_nan_never_reaches_a_file() -> None:
    values = failed().to_dict() | {"bits_per_byte": math.nan}
    with pytest.raises(ValueError, match="not JSON compliant"):
        RunRecord.from_dict(values).to_json()
