"""What of a record a W&B run holds, and the record made of such a run again, bit for bit.

The rows of the history are the curve. All else stands in the summary: the values that people sort
and draw by, and `final/record`, the record without its curve as JSON. `final/checksum` is the
seal of the whole record, so that a run that was read back is either the record or an error: a
sample of the history, or a missing row, never passes for it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from scaling.cell_read import CellRecord
from scaling.curve_rows import curve_of_rows, rows_of_curve
from scaling.errors import TrackingError
from scaling.evaluation_cell import EvaluationRecord, is_evaluation, leaves
from scaling.record import RunRecord
from scaling.sealed import CHECKSUM
from scaling.wandb_writer import COUNTERS

RECORD = "final/record"
RECORD_CHECKSUM = "final/checksum"
TOKENS, FLOPS, STEP = COUNTERS


def checksum_of(record: CellRecord) -> str:
    """The seal of the record as this suite writes it."""
    return str(json.loads(record.to_json())[CHECKSUM])


def final_summary(record: CellRecord) -> dict[str, Any]:
    """The `final/...` values of a cell; W&B shows them as columns of its table of runs."""
    values = _found(record) if isinstance(record, EvaluationRecord) else _trained(record)
    whole = {RECORD: _without_curve(record), RECORD_CHECKSUM: checksum_of(record)}
    return values | {"final/status": record.status, "final/reason": record.reason} | whole


def _trained(record: RunRecord) -> dict[str, Any]:
    values: dict[str, Any] = {
        f"final/{term}_nats": loss.nats_per_target for term, loss in record.losses.items()
    }
    for name in ("params_total", "params_non_embedding", "train_flops"):
        values[f"final/{name}"] = getattr(record, name)
    values["final/train_tokens"] = record.spec.train_tokens
    values["final/train_seconds"] = record.provenance.train_seconds
    if record.bits_per_byte is not None:
        values["final/bits_per_byte"] = record.bits_per_byte
        values["final/bits_per_byte_kind"] = record.bits_per_byte_kind
    return values


def _found(record: EvaluationRecord) -> dict[str, Any]:
    """Numbers that stand by themselves: what is in a list is a curve, for the record alone."""
    return {
        f"final/{name}": value
        for name, value in leaves(record.values)
        if isinstance(value, int | float) and not any(map(str.isdigit, name.split(".")))
    }


def rows_of(record: CellRecord) -> list[dict[str, float]]:
    """The rows of the history, each with its exact counters; the first ones first."""
    if isinstance(record, EvaluationRecord):
        return []
    return [
        row
        | {
            TOKENS: tokens,
            FLOPS: int(tokens * record.train_flops_per_token),
            STEP: tokens // record.spec.batch_tokens,
        }
        for tokens, row in rows_of_curve(record.curve).items()
    ]


def record_of(summary: Mapping[str, Any], history: Iterable[Mapping[str, Any]]) -> CellRecord:
    """The record of a run that was read back.

    Args:
        history: all of its rows, in any order; of equal ones, as an attempt that was repeated
            leaves them, the last one counts.
    Raises:
        TrackingError: it is not the record that was sent.
    """
    rows: dict[int, dict[str, Any]] = {}
    for row in history:
        if isinstance(row.get(TOKENS), int):
            rows.setdefault(row[TOKENS], {}).update(row)
    record: CellRecord
    try:
        content = json.loads(summary[RECORD])
        if is_evaluation(content["spec"]):
            record = EvaluationRecord.from_dict(content)
        else:
            record = RunRecord.from_dict(content | {"curve": _curve(content, rows)})
    except (AttributeError, AssertionError, KeyError, TypeError, ValueError) as error:
        raise TrackingError(f"it holds no record ({type(error).__name__}: {error})") from None
    if checksum_of(record) != summary.get(RECORD_CHECKSUM):
        raise TrackingError(
            f"its {len(rows)} rows and its summary are not the record that was sent"
        )
    return record


def _curve(content: Mapping[str, Any], rows: Mapping[int, Any]) -> list[dict[str, Any]]:
    curve = curve_of_rows(
        rows,
        content["curve"]["series"],
        train_flops_per_token=content["train_flops_per_token"],
    )
    return [{name: getattr(point, name) for name in point.__slots__} for point in curve]


def _without_curve(record: CellRecord) -> str:
    content = record.to_dict()
    if "curve" in content:
        series = dict.fromkeys((point["split"], point["term"]) for point in content["curve"])
        content["curve"] = {"series": list(series)}
    return json.dumps(content, allow_nan=False)
