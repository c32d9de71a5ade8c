"""Measures one evaluation cell: from its spec to its record."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from scaling.evaluate.measurement import is_untrained, load_measurement, load_trained
from scaling.evaluate.options import make_options
from scaling.evaluation_cell import (
    EvaluationProvenance,
    EvaluationRecord,
    EvaluationSpec,
    check_values,
)
from scaling.provenance import device_name, git_commit, now, versions
from scaling.record import Status
from scaling.store import Store
from scaling.watch import Progress


def evaluate_cell(
    spec: EvaluationSpec,
    store: Store,
    *,
    on_progress: Callable[[Progress], None] | None = None,
    attempts: int = 1,
) -> EvaluationRecord:
    """Measures what `spec` asks for and returns the record, unpublished.

    Raises:
        StoreError: its run has no weights. ValueError: data are not those that the spec names, or
        the measurement gave what a record may not hold.
    """
    started = time.monotonic()
    measurement = load_measurement(spec.measurement)
    options = make_options(
        measurement.options, {**spec.options, **spec.places}, what=spec.measurement
    )
    _check_same(spec, measurement.version, measurement.data(options))
    weights = "initial" if is_untrained(spec) else "trained"
    trained = load_trained(store, spec.of, weights=weights)  # type: ignore[arg-type]

    def report(done: int, total: int) -> None:
        if on_progress is not None:
            on_progress(
                Progress(
                    tokens=done, train_tokens=total, tokens_per_second=0.0, losses={}, unit="parts"
                )
            )

    values = dict(measurement.measure(trained, options, report))
    missing = values.pop("missing", {})
    check_values(values, missing)
    return EvaluationRecord(
        run_id=spec.run_id,
        spec=spec,
        status="done",
        reason=None,
        options=_all_options(options),
        values=values,
        missing=missing,
        provenance=_provenance(trained.device, time.monotonic() - started, attempts),
    )


def ended_evaluation(
    spec: EvaluationSpec, status: Status, reason: str, *, attempts: int = 1
) -> EvaluationRecord:
    """The record of an evaluation that found nothing, and why."""
    return EvaluationRecord(
        run_id=spec.run_id,
        spec=spec,
        status=status,
        reason=reason,
        options=dict(spec.options),
        values={},
        provenance=_provenance(None, 0.0, attempts),
        missing={"values": f"the evaluation ended as {status}: {reason}"},
    )


def _check_same(spec: EvaluationSpec, version: int, data: Mapping[str, str]) -> None:
    if spec.version != version:
        raise ValueError(
            f"{spec.measurement} is of version {version} now, the cell asks for {spec.version}; "
            "run the sweep again, which makes cells of the present version"
        )
    for name in sorted({*spec.data, *data}):
        if spec.data.get(name) != data.get(name):
            raise ValueError(
                f"{name} has fingerprint {data.get(name)}, the cell names {spec.data.get(name)}: "
                "the data have changed since the sweep was planned; run it again"
            )


def _all_options(options: Any) -> dict[str, Any]:
    """All but the places of data, as JSON has them."""
    return {
        entry.name: list(value) if isinstance(value, tuple) else value
        for entry in dataclasses.fields(options)
        if not entry.metadata.get("place")
        for value in [getattr(options, entry.name)]
    }


def _provenance(
    device: torch.device | None, wall_seconds: float, attempts: int
) -> EvaluationProvenance:
    return EvaluationProvenance(
        wall_seconds=wall_seconds,
        attempts=attempts,
        device=device_name(device),
        versions=versions(),
        git_commit=git_commit(),
        finished_at=now(),
    )
