"""The records of a study of a question: evaluations joined with the runs that they measure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.errors import AnalysisError
from analysis.read_sweep import cell_record, read_listing, runs_of
from analysis.sealed import (
    RECORD_MIGRATIONS,
    RECORD_VERSION,
    migrate,
)

# Of the record of a run, columns beside its spec.
_RUN_COLUMNS = (
    "params_total", "params_non_embedding", "train_flops_per_token", "train_flops",
    "train_flops_6nd", "tokens_seen", "tokens_predicted", "tokens_unique", "bits_per_byte",
    "bits_per_byte_kind",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """One measurement of one run, both done.

    Attributes:
        labels: of the evaluation's cell, which are those of the run and what was measured.
        options: of the measurement, defaults included.
        values: what it found; `missing` says why one is null.
        run: the record of the run, as the trainer wrote it.
    """

    run_id: str
    measurement: str
    labels: Mapping[str, Any]
    options: Mapping[str, Any]
    values: Mapping[str, Any]
    missing: Mapping[str, str]
    run: Mapping[str, Any]

    def columns(self) -> dict[str, Any]:
        """What a row of a table says of the run and the options.

        An arm stands under `arm`, which is the architecture where the sweep names no arms. FLOPs
        and tokens of an untrained model (`weights` is `initial`) are 0.
        """
        spec = self.run["spec"]
        names = ("arch", "objective", "train_tokens", "seq_len", "n_layer", "d_model", "peak_lr")
        found = {name: spec[name] for name in names} | {"seed": spec.get("seed", 0)}
        found |= {name: self.run[name] for name in _RUN_COLUMNS}
        found |= {"arm": self.labels.get("arm", spec["arch"]), "size": self.labels.get("size")}
        if self.options.get("weights") == "initial":
            found |= {"train_tokens": 0, "train_flops": 0.0, "train_flops_6nd": 0.0}
            found |= {"tokens_seen": 0, "tokens_predicted": 0, "tokens_unique": 0}
            found |= {"bits_per_byte": None, "bits_per_byte_kind": None}
        return found | {f"option_{name}": value for name, value in self.options.items()}


@dataclass(frozen=True, kw_only=True, slots=True)
class QuestionTable:
    """What a folder of records holds.

    Attributes:
        evaluations: those that are done and whose run is there.
        runs: run id -> record of the runs that are done.
        labels: run id -> what the sweep calls the run.
        excluded: cell -> why it is not used: damaged, failed, not there yet, left out by the sweep.
    """

    source: str
    evaluations: tuple[Evaluation, ...]
    runs: Mapping[str, Mapping[str, Any]]
    labels: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    excluded: Mapping[str, str] = field(default_factory=dict)

    def of(self, measurement: str) -> tuple[Evaluation, ...]:
        """The evaluations by one measurement; raises AnalysisError where there is none."""
        found = tuple(one for one in self.evaluations if one.measurement == measurement)
        if not found:
            reasons = "; ".join(f"{cell}: {why}" for cell, why in list(self.excluded.items())[:3])
            raise AnalysisError(
                f"{self.source} holds no finished evaluation by {measurement}"
                f"{f' ({reasons})' if reasons else ''}; `scaling evaluate` makes them"
            )
        return found

    def frame(self, measurement: str) -> pd.DataFrame:
        """A row per evaluation: `Evaluation.columns`, and each plain value under its dotted name.

        Lists and deeper structures stay in `evaluations`.
        """
        rows = [
            {"run_id": one.run["run_id"], "evaluation_id": one.run_id}
            | one.columns()
            | dict(_plain(one.values))
            for one in self.of(measurement)
        ]
        return pd.DataFrame(rows)


def read_question_table(folder: Path) -> QuestionTable:
    """Reads the cells of `runs/<sweep>/` or `analysis/reference/<study>/` and their records.

    Raises:
        AnalysisError: there is no cells.json, or it is not of this schema.
    """
    content = read_listing(folder)
    reader = _Reader(folder.parent / "cells")
    trained = runs_of(content["cells"])
    for cell in trained:
        reader.run(cell)
    ids = {cell.get("run_id") for cell in trained}
    for cell in content["cells"]:
        if cell.get("run_id") not in ids:
            reader.evaluation(cell)
    return QuestionTable(
        source=str(folder),
        evaluations=tuple(reader.evaluations),
        runs=reader.runs,
        labels={str(cell["run_id"]): cell.get("labels") or {} for cell in trained},
        excluded=reader.excluded,
    )


class _Reader:
    """Reads cell by cell, and notes why one is not used."""

    def __init__(self, store: Path) -> None:
        self._store = store
        self.runs: dict[str, dict[str, Any]] = {}
        self.evaluations: list[Evaluation] = []
        self.excluded: dict[str, str] = {}

    def run(self, cell: Mapping[str, Any]) -> None:
        if cell.get("excluded"):
            self.excluded[_name(cell)] = f"excluded by the sweep: {cell['excluded']}"
        elif (record := self._done(cell)) is not None:
            self.runs[str(cell["run_id"])] = record

    def evaluation(self, cell: Mapping[str, Any]) -> None:
        spec = cell["spec"]
        record = self._done(cell)
        if record is None:
            return
        if spec["of"] not in self.runs:
            self.excluded[_name(cell)] = f"its run {spec['of']} is not there"
            return
        self.evaluations.append(
            Evaluation(
                run_id=record["run_id"],
                measurement=spec["measurement"],
                labels=cell.get("labels") or {},
                options=record["options"],
                values=record["values"],
                missing=record["missing"],
                run=self.runs[spec["of"]],
            )
        )

    def _done(self, cell: Mapping[str, Any]) -> dict[str, Any] | None:
        """The record of a cell that is done; else None, and why is noted."""
        try:
            record = cell_record(self._store, str(cell.get("run_id")))
            if record is None:
                self.excluded[_name(cell)] = "no record yet"
                return None
            what = f"record {cell.get('run_id')}"
            record = migrate(record, RECORD_MIGRATIONS, RECORD_VERSION, what)
        except AnalysisError as error:
            self.excluded[_name(cell)] = f"damaged: {error}"
            return None
        if record["status"] != "done":
            self.excluded[_name(cell)] = f"{record['status']}: {record['reason']}"
            return None
        return record


def _name(cell: Mapping[str, Any]) -> str:
    labels = cell.get("labels") or {}
    words = " ".join(
        f"{value:g}" if isinstance(value, float) else str(value) for value in labels.values()
    )
    run_id = cell.get("run_id")  # a cell that the sweep leaves out has none
    return f"{words} ({run_id})" if run_id else words


def _plain(values: Mapping[str, Any], name: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _plain(value, f"{name}{key}.")
        elif not isinstance(value, list):
            yield f"{name}{key}", value
