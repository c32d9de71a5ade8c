"""Reads record.json files, alone or through a sweep's cells.json, into canonical columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from analysis.errors import AnalysisError
from analysis.laws import EXCESS
from analysis.raw_table import RawTable, labels_for
from analysis.row_checks import unigram_reason
from analysis.sealed import (
    RECORD_MIGRATIONS,
    RECORD_VERSION,
    checked,
    migrate,
)

# What a loss was measured on; columns while the records are read.
_IDENTITIES = ("text", "windows", "tokenizer")


def read_records(records: Sequence[Any], *, loss: str) -> RawTable:
    """Reads records: dicts of RunRecord's JSON form, or objects with `to_dict`."""
    rows, points = [], []
    for record in records:
        content = record if isinstance(record, dict) else record.to_dict()
        if "checksum" in content:
            content = checked(content, f"record {content.get('run_id')}")
        row, curve = record_row(content, loss)
        rows.append(row)
        points.extend(curve)
    if not rows:
        raise AnalysisError("no records; a table needs at least one run")
    return as_raw_table(rows, points, loss=loss, source="records", n_read=len(rows))


def record_row(
    record: dict[str, Any], loss: str, *, arm: str | None = None
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """One record as canonical columns, and its curve.

    Args:
        arm: the sweep's name for it; arms may share an architecture.
    """
    what = f"record {record.get('run_id')}"
    record = migrate(record, RECORD_MIGRATIONS, RECORD_VERSION, what)
    spec = record["spec"]
    # The main term of the objective, and what it measures there.
    yardsticks = record.get("yardsticks") or {str(spec["objective"]): str(spec["objective"])}
    term = next(iter(yardsticks)) if loss in ("main", "bits_per_byte", "excess") else loss
    kind = yardsticks.get(term, term)
    token_loss = record["losses"].get(term)
    row = {
        "run_id": record["run_id"],
        "group": arm or spec["arch"],
        "arm": arm,
        "seed": spec.get("seed", 0),
        "status": record["status"],
        "objective": spec["objective"],
        "peak_lr": spec["peak_lr"],
        "train_tokens": spec["train_tokens"],
        **{name: record[name] for name in (
            "params_total", "params_non_embedding", "train_flops", "train_flops_6nd",
            "tokens_predicted", "bits_per_byte", "bits_per_byte_kind",
            "bits_per_byte_standard_error",
        )},
        "loss_nats": token_loss and token_loss["nats_per_target"],
        "loss_standard_error": token_loss and token_loss["standard_error"],
        "unigram_nats": token_loss and token_loss.get("unigram_nats_per_target"),
        "loss_kind": loss if loss in ("bits_per_byte", "excess") else kind,
        **(_excess(token_loss) if loss == "excess" else {}),
        "unique_tokens": record["tokens_unique"],
        "text": spec["corpus_fingerprint"],
        "tokenizer": spec["tokenizer_fingerprint"],
        "windows": f"of {spec['seq_len']} positions, {spec.get('eval_tokens', 131072)} in all",
        "spec": spec,
        "reason": _reason(record, token_loss, term, loss),
    }  # fmt: skip
    shared = {k: row[k] for k in ("run_id", "group", "params_total", "params_non_embedding")}
    # Bits per byte and the optimum are known of the end of a run alone: its readings then tell the
    # schedule and no loss.
    is_of_end = loss in ("bits_per_byte", "excess")
    points = [
        {**shared, "loss_kind": kind, "train_tokens": point["tokens"],
         "train_flops": point["train_flops"], "split": point["split"], "term": point["term"],
         "loss_nats": None if is_of_end else point["nats_per_target"],
         "learning_rate": point["learning_rate"]}
        for point in record["curve"]
        if record["status"] == "done" and point["term"] == term
    ]  # fmt: skip
    return row, points


def _excess(token_loss: dict[str, Any] | None) -> dict[str, Any]:
    """The loss over the Bayes optimum on the same targets, with the error of that difference."""
    optimal = token_loss and token_loss.get("optimal_nats_per_target")
    if token_loss is None or optimal is None:
        return {"excess_nats": None, "loss_standard_error": None}
    return {
        "excess_nats": token_loss["nats_per_target"] - optimal,
        "loss_standard_error": token_loss.get("excess_standard_error"),
    }


def _reason(record: dict[str, Any], token_loss: dict[str, Any] | None, term: str, loss: str) -> str:
    """Why the run may not enter a fit; empty if it may."""
    if record["status"] != "done":
        return f"status {record['status']}: {record.get('reason')}"
    if token_loss is None:
        return f"the record has no loss term {term!r}; it has {', '.join(record['losses'])}"
    if loss == "bits_per_byte" and record["bits_per_byte"] is None:
        why = record.get("missing", {}).get("bits_per_byte", "no reason given")
        return f"bits_per_byte is missing: {why}"
    if loss == "excess" and token_loss.get("optimal_nats_per_target") is None:
        return (
            "no Bayes optimum is recorded: only text of a known distribution, such as the corpus "
            "grammar, has one"
        )
    nats, unigram = token_loss["nats_per_target"], token_loss.get("unigram_nats_per_target")
    if unigram is not None and nats >= unigram:
        return unigram_reason(nats, unigram)
    return ""


def as_raw_table(
    rows: list[dict[str, Any]],
    points: Iterable[dict[str, Any]],
    *,
    loss: str,
    source: str,
    n_read: int,
) -> RawTable:
    frame = pd.DataFrame(rows)
    for name in ("loss_kind", *_IDENTITIES):
        if name not in frame:
            frame[name] = None
    frame["reason"] = frame["reason"].fillna("")
    frame = _mark_texts(frame, loss).drop(columns=list(_IDENTITIES))
    frame, extra = _with_spec_columns(frame.dropna(axis="columns", how="all"))
    loss_column = {"bits_per_byte": "bits_per_byte", "excess": EXCESS}.get(loss, "loss_nats")
    error_column = {"bits_per_byte": "bits_per_byte_standard_error"}.get(
        loss_column, "loss_standard_error"
    )
    if loss_column not in frame:
        reasons = "; ".join(sorted(set(frame["reason"])))
        raise AnalysisError(f"{source}: no run has {loss_column}: {reasons or 'all are missing'}")
    columns = {"n": "params_total", "d": "train_tokens", "c": "train_flops", "loss": loss_column}
    if error_column in frame:
        columns["loss_standard_error"] = error_column
    return RawTable(
        frame=frame,
        columns=columns,
        labels=labels_for(columns, frame),
        notes=_bound_note(frame, loss),
        provenance={"source": source, "rows": n_read},
        curve_points=pd.DataFrame(points),
        extra=extra,
        by="arm" if "arm" in frame else "arch",
    )


def _with_spec_columns(frame: pd.DataFrame) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Gives every field of the specs that differs between the runs a column of its own name.

    A spec that lacks a field which others have is older than the field and ran at its default.
    """
    has_run = (frame["reason"] == "").to_numpy()
    ran = list(frame["spec"][has_run])
    names = dict.fromkeys(name for spec in ran for name in spec)
    differ = [n for n in names if len({str(spec.get(n, "default")) for spec in ran}) > 1]
    made = {
        name: [
            spec.get(name, "default" if is_run else None)
            for spec, is_run in zip(frame["spec"], has_run, strict=True)
        ]
        for name in differ
        if name not in frame
    }
    return frame.assign(**made), (*(["arm"] if "arm" in frame else []), *differ)


def _mark_texts(frame: pd.DataFrame, loss: str) -> pd.DataFrame:
    """Losses of different texts or windows, or nats of different tokenizers, are not compared."""
    kind = frame["loss_kind"].copy()
    for name in _IDENTITIES:
        if (name != "tokenizer" or loss != "bits_per_byte") and frame[name].nunique() > 1:
            kind = kind.where(frame[name].isna(), kind + f", {name} " + frame[name].astype(str))
    return frame.assign(loss_kind=kind)


def _bound_note(frame: pd.DataFrame, loss: str) -> tuple[str, ...]:
    if loss != "bits_per_byte" or "bits_per_byte_kind" not in frame:
        return ()
    bounds = int((frame["bits_per_byte_kind"] == "upper_bound").sum())
    if not bounds:
        return ()
    return (f"the bits per byte of {bounds} runs are upper bounds (any-order), to be read as <=",)
