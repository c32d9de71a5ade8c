"""An evaluation cell: what is measured on one trained model, its id, and what was found.

It lies in the same store as the training runs, `cells/<id>/`, with the same files, claims and
states. What tells it from a run is that its spec names a measurement.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from scaling.cell_files import RECORD
from scaling.record import STATUSES, Status
from scaling.sealed import CHECKSUM, Migration, SealedRecord, checked, migrate
from scaling.spec import SpecError

# Records of runs have carried a checksum since version 2, which is where these begin.
SCHEMA_VERSION = 2
MIGRATIONS: dict[int, Migration] = {}

_RUN_ID = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationSpec:
    """One measurement of one trained run.

    Attributes:
        measurement: key of `scaling.evaluate.MEASUREMENTS`.
        of: id of the training run.
        options: those that differ from the measurement's defaults.
        data: name -> fingerprint of each text or task that the model is measured on, beside the
            one that it was trained on.
        version: of the measurement; see `scaling.evaluate.measurement.Measurement`.
        places: option -> where data lie on this machine. No part of the identity: the
            fingerprints are.
    """

    measurement: str
    of: str
    options: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, str] = field(default_factory=dict)
    version: int = 1
    places: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("measurement", "of"):
            if not isinstance(getattr(self, name), str):
                raise SpecError(f"{name}={getattr(self, name)!r} is not text")
        if not _RUN_ID.fullmatch(self.of):
            raise SpecError(f"of={self.of!r} is not a run id; it has 16 hex digits")
        for name in ("options", "data", "places"):
            if not isinstance(getattr(self, name), Mapping):
                raise SpecError(f"{name}={getattr(self, name)!r} is not a mapping")
        if isinstance(self.version, bool) or not isinstance(self.version, int):
            raise SpecError(f"version={self.version!r} is not a whole number")

    @property
    def run_id(self) -> str:
        """16 hex digits that name the result, as `RunSpec.run_id` does."""
        identity: dict[str, Any] = {
            "measurement": self.measurement, "of": self.of, "options": dict(self.options),
            "data": dict(self.data),
        }  # fmt: skip
        if self.version != 1:
            identity["version"] = self.version
        canonical = json.dumps(identity, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> EvaluationSpec:
        """Builds a spec from JSON; raises SpecError for a field that is unknown or missing."""
        known = {entry.name for entry in dataclasses.fields(cls)}
        if unknown := sorted(values.keys() - known):
            raise SpecError(f"unknown field {unknown[0]!r}; known: {', '.join(sorted(known))}")
        if missing := sorted({"measurement", "of"} - values.keys()):
            raise SpecError(f"the spec lacks {', '.join(missing)}; each evaluation needs them")
        return cls(**values)


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationProvenance:
    """How and where a measurement was made.

    Attributes:
        wall_seconds: of the last attempt, reading and building included.
    """

    wall_seconds: float
    attempts: int
    device: str
    versions: dict[str, str]
    git_commit: str | None
    finished_at: str


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationRecord(SealedRecord):
    """What a measurement found. A missing value is null, and `missing` says why.

    Attributes:
        run_id: of the evaluation itself; `spec.of` is that of the run that it measured.
        options: all of them, defaults included.
        values: finite numbers, text, lists and mappings; names say units.
        missing: dotted name of a null in `values`, or of what it stands in -> why it is null.
    """

    run_id: str
    spec: EvaluationSpec
    status: Status
    reason: str | None
    options: dict[str, Any]
    values: dict[str, Any]
    provenance: EvaluationProvenance
    missing: dict[str, str] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        assert self.status in STATUSES, self.status
        assert self.status == "done" or self.reason, f"what is {self.status} says why"

    def result(self) -> dict[str, Any]:
        """The part that is a function of the spec alone."""
        values = self.to_dict()
        del values["provenance"], values["spec"]["places"]
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        if CHECKSUM in values:
            values = checked(values, Path(RECORD))
        fields = migrate(dict(values), MIGRATIONS, SCHEMA_VERSION, "record")
        fields["spec"] = EvaluationSpec.from_dict(fields["spec"])
        fields["provenance"] = EvaluationProvenance(**fields["provenance"])
        return cls(**fields)


def is_evaluation(spec: Any) -> bool:
    """Whether a spec, as JSON, is that of an evaluation rather than of a training run."""
    return isinstance(spec, Mapping) and "measurement" in spec


def check_values(values: Mapping[str, Any], missing: Mapping[str, str]) -> None:
    """Raises ValueError for what a record may not hold: NaN, an unexplained null, another type."""
    for name, value in leaves(values):
        if value is None:
            parts = name.split(".")
            if not any(".".join(parts[: n + 1]) in missing for n in range(len(parts))):
                raise ValueError(f"{name} is null and `missing` does not say why; say it there")
        elif isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{name}={value}: a record holds finite numbers; give null and why")
        elif not isinstance(value, int | float | str):
            raise ValueError(f"{name} is {type(value).__name__}; a record holds plain JSON")


def leaves(values: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted name and value of everything in `values` that is no list and no mapping."""
    if isinstance(values, Mapping):
        for key, value in values.items():
            if not isinstance(key, str):
                raise ValueError(f"{name or 'values'} has the key {key!r}; keys are text")
            yield from leaves(value, f"{name}.{key}" if name else key)
    elif isinstance(values, list | tuple):
        for index, value in enumerate(values):
            yield from leaves(value, f"{name}.{index}")
    else:
        yield name, values
