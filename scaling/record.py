"""RunRecord: what one run found. Its JSON form, sealed by a checksum, is the row of every table."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self, get_args

from scaling.cell_files import RECORD
from scaling.errors import DamagedFile
from scaling.sealed import (
    CHECKSUM,
    Migration,
    SealedRecord,
    checked,
    is_sealed,
    migrate,
    unseal,
)
from scaling.spec import RunSpec

SCHEMA_VERSION = 2

# Version -> what makes a record of the next one of it. Version 1 had no checksum.
MIGRATIONS: dict[int, Migration] = {1: lambda record: record | {"schema_version": 2}}

Status = Literal["done", "diverged", "out_of_memory", "failed", "timeout"]
STATUSES: frozenset[str] = frozenset(get_args(Status))

# A string of JSON holds no line end, so this is the entry of the record and of no part of it.
_STATUS = re.compile(rb'\n "status": "(\w+)"')
BitsPerByteKind = Literal["exact", "upper_bound"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TermLoss:
    """One loss term on the fixed validation set.

    Attributes:
        nats_per_target: summed nats over targets, divided by their count.
        targets: how many tokens (or pairs) were predicted.
        standard_error: of `nats_per_target`, over batches of sequences; null where the
            validation set is a single batch.
        unigram_nats_per_target: the same targets under the training text's unigram code;
            null for terms whose targets are not tokens.
        optimal_nats_per_target: the same targets under the distribution that the text was drawn
            from, where that is known: no model can do better.
        excess_standard_error: of the difference of the two.
        accuracy: share of the targets that were predicted rightly, where each is a decision
            about a pair; null for tokens.
    """

    nats_per_target: float
    targets: int
    standard_error: float | None
    unigram_nats_per_target: float | None = None
    optimal_nats_per_target: float | None = None
    excess_standard_error: float | None = None
    accuracy: float | None = None
    accuracy_standard_error: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class CurvePoint:
    """One reading of one loss term during training.

    Attributes:
        split: `train` is the mean since the previous reading, `validation` a fixed part of the
            validation set, smaller than that of the final losses.
    """

    tokens: int
    train_flops: float
    split: Literal["train", "validation"]
    term: str
    nats_per_target: float
    learning_rate: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Provenance:
    """How and where the run was made; two runs of one spec differ here and nowhere else.

    Attributes:
        wall_seconds: training and evaluation, summed over all attempts.
        spent_flops: FLOPs of the steps that this cell ran itself; the part of the trunk
            that it took over is not in it.
        forked_from: run id of the cell whose trunk checkpoint this one started from.
        devices: how many of `device` the last attempt ran on; their share of the model is told by
            `strategy`, null for a single one.
        micro_batch: the most sequences that a device took through the model at a time; null for
            its whole share of a batch.
        compiled: whether the last attempt ran compiled steps.
        peak_memory_bytes, memory_at_start_bytes: of the last attempt, null where they were not
            measured; `peak_memory_kind` says how, or why not.
    """

    wall_seconds: float
    train_seconds: float
    spent_flops: float
    forked_from: str | None
    attempts: int
    device: str
    versions: dict[str, str]
    git_commit: str | None
    finished_at: str
    devices: int = 1
    strategy: str | None = None
    micro_batch: int | None = None
    compiled: bool = False
    peak_memory_bytes: int | None = None
    memory_at_start_bytes: int | None = None
    peak_memory_kind: str = "made before memory was recorded"


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRecord(SealedRecord):
    """The result of one cell. A missing value is null and `reason` or `missing` says why.

    Attributes:
        yardsticks: the main term of the objective -> what it measures; losses of different
            yardsticks are never compared.
        params: parameters by group; `params_total` is their sum.
        params_non_embedding: without token, position and segment embeddings.
        train_flops: exact forward and backward FLOPs as if trained from scratch.
        train_flops_6nd: the rule of thumb, 6 x params_non_embedding x tokens.
        tokens_seen: positions processed. tokens_predicted: tokens that gave a loss.
        tokens_unique: text tokens seen at least once.
        bits_per_byte: of held-out text under a normalised distribution; `exact` for causal
            models, `upper_bound` for the any-order bound of masked ones.
        missing: field name -> why it is null.
    """

    run_id: str
    spec: RunSpec
    status: Status
    reason: str | None
    yardsticks: dict[str, str]
    params: dict[str, int]
    params_total: int
    params_non_embedding: int
    train_flops_per_token: float
    train_flops: float
    train_flops_6nd: float
    tokens_seen: int
    tokens_predicted: int
    tokens_unique: int | None
    losses: dict[str, TermLoss]
    bits_per_byte: float | None
    bits_per_byte_kind: BitsPerByteKind | None
    bits_per_byte_standard_error: float | None
    curve: tuple[CurvePoint, ...]
    provenance: Provenance
    missing: dict[str, str] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        if self.status == "done":
            for term, loss in self.losses.items():
                assert math.isfinite(loss.nats_per_target), f"{term} of a done run is not finite"
        else:
            assert self.reason, f"a run that is {self.status} says why"
        assert self.params_total == sum(self.params.values()), "groups must sum to the total"

    def result(self) -> dict[str, Any]:
        """The part that is a function of the spec alone: equal bit for bit for equal specs."""
        values = self.to_dict()
        del values["provenance"]
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        if CHECKSUM in values:
            values = checked(values, Path(RECORD))
        fields = migrate(dict(values), MIGRATIONS, SCHEMA_VERSION, "record")
        fields["spec"] = RunSpec.from_dict(fields["spec"])
        fields["losses"] = {term: TermLoss(**loss) for term, loss in fields["losses"].items()}
        fields["curve"] = tuple(CurvePoint(**point) for point in fields["curve"])
        fields["provenance"] = Provenance(**fields["provenance"])
        return cls(**fields)


def status_of(data: bytes, run_id: str, path: Path | str) -> Status:
    """The status of a record, of which nothing else is read when its checksum fits.

    Raises:
        DamagedFile: it is not as it was written, or it is another run's.
    """
    if is_sealed(data) and data.startswith(b'{\n "run_id": "%b"' % run_id.encode()):
        found = _STATUS.search(data)
        status = found[1].decode() if found else None
    else:
        content = unseal(data, Path(path))
        if content.get("run_id") != run_id:
            raise DamagedFile(path, f"is the record of another run, {content.get('run_id')!r}")
        status = content.get("status")
    if status not in STATUSES:
        raise DamagedFile(path, f"has the unknown status {status!r}")
    return status  # type: ignore[return-value]
