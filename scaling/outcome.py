"""How a run ends: from a trained model, or from a failure, to a RunRecord."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass
from typing import Any

import torch

from scaling import accounting, peak_memory
from scaling.checkpoint import Session
from scaling.evaluate.likelihood import BitsPerByte, bits_per_byte
from scaling.evaluate.optimum import check_leak, optimum
from scaling.evaluate.validation import validation_losses
from scaling.lit import LitRun
from scaling.objectives import OBJECTIVES
from scaling.provenance import device_name, git_commit, now, versions
from scaling.readings import Diverged
from scaling.record import CurvePoint, Provenance, RunRecord, Status, TermLoss
from scaling.spec import RunSpec
from scaling.split import ONE_DEVICE, Split


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """A trained model on the fixed validation set.

    Attributes:
        code: None where the objective trains no token head.
        no_optimum: why the Bayes optimum is not known where one may be expected; else empty.
    """

    losses: dict[str, TermLoss]
    code: BitsPerByte | None
    no_optimum: str
    seconds: float


def evaluate(lit: LitRun) -> Evaluation:
    """Measures a trained model; devices that trained it together do so together.

    Args:
        lit: after `trainer.fit`.
    """
    started = time.monotonic()
    spec, text, objective = lit.spec, lit.text, lit.objective
    n_sequences = max(1, spec.eval_tokens // spec.seq_len)
    batches = [
        batch.to(lit.device) for batch in objective.validation_batches(text, spec, n_sequences)
    ]
    # In float32 whatever the training precision, as the readings along the curve.
    rows = lit.evaluation_rows
    optimal_nats, why_none = optimum(spec)
    losses = validation_losses(
        lit.model,
        objective,
        batches,
        unigram_nats=text.unigram_nats,
        micro_batch=rows,
        optimal_nats=optimal_nats,
    )
    check_leak(losses)
    code = None
    if objective.head_positions(spec):
        code = bits_per_byte(lit.model, text, spec, device=lit.device, micro_batch=rows)
    measured = [loss.nats_per_target for loss in losses.values()]
    if not all(map(math.isfinite, [*measured, *([code.value] if code else [])])):
        raise Diverged("the loss of the trained model on the validation set is not finite")
    return Evaluation(
        losses=losses, code=code, no_optimum=why_none, seconds=time.monotonic() - started
    )


def done_record(
    lit: LitRun,
    found: Evaluation,
    *,
    split: Split,
    session: Session,
    seconds_before_training: float,
    attempts: int,
) -> RunRecord:
    """The record of a run that reached its horizon.

    Args:
        session: origin, and training time of all attempts, this one included.
        seconds_before_training: what this attempt spent on reading and building.
    """
    spec = lit.spec
    losses, code = found.losses, found.code
    return RunRecord(
        run_id=spec.run_id,
        spec=spec,
        status="done",
        reason=None,
        **_counts(spec),
        tokens_seen=spec.train_tokens,
        tokens_predicted=lit.tokens_predicted,
        tokens_unique=lit.objective.unique_tokens(lit.text, spec),
        losses=losses,
        bits_per_byte=code.value if code else None,
        bits_per_byte_kind=code.kind if code else None,
        bits_per_byte_standard_error=code.standard_error if code else None,
        curve=tuple(lit.curve),
        provenance=_provenance(
            spec,
            session,
            wall_seconds=seconds_before_training + session.seconds + found.seconds,
            steps=spec.total_steps,
            device=lit.device,
            split=split,
            attempts=attempts,
            compiled=lit.model.regions is not None,
        ),
        missing=_missing(found),
    )


def _missing(found: Evaluation) -> dict[str, str]:
    missing = {}
    if any(loss.standard_error is None for loss in found.losses.values()):
        missing["standard_error"] = "the validation set is a single batch, which has no spread"
    if found.code is None:
        missing["bits_per_byte"] = "the objective trains no token head"
    if found.no_optimum:
        missing["optimum"] = found.no_optimum
    return missing


@dataclass(frozen=True, kw_only=True, slots=True)
class Spent:
    """What an attempt had done when it ended early."""

    session: Session
    curve: tuple[CurvePoint, ...]
    tokens_seen: int
    tokens_predicted: int
    device: torch.device


def ended_record(
    spec: RunSpec,
    status: Status,
    reason: str,
    *,
    spent: Spent | None = None,
    split: Split = ONE_DEVICE,
    attempts: int = 1,
) -> RunRecord:
    """The record of a run that did not reach its horizon: no loss, and the reason why.

    Args:
        spent: what its last attempt had done; None where training had not begun.
    """
    session = spent.session if spent else Session()
    tokens_seen = spent.tokens_seen if spent else 0
    why = f"the run ended as {status}: {reason}"
    return RunRecord(
        run_id=spec.run_id,
        spec=spec,
        status=status,
        reason=reason,
        **_counts(spec),
        tokens_seen=tokens_seen,
        tokens_predicted=spent.tokens_predicted if spent else 0,
        tokens_unique=None,
        losses={},
        bits_per_byte=None,
        bits_per_byte_kind=None,
        bits_per_byte_standard_error=None,
        curve=spent.curve if spent else (),
        provenance=_provenance(
            spec,
            session,
            wall_seconds=session.seconds,
            steps=tokens_seen // spec.batch_tokens,
            device=spent.device if spent else None,
            split=split,
            attempts=attempts,
        ),
        missing={"losses": why, "bits_per_byte": why, "tokens_unique": why},
    )


def _counts(spec: RunSpec) -> dict[str, Any]:
    params = accounting.count_params(spec)
    per_token = accounting.train_flops_per_token(spec)
    return {
        "yardsticks": {
            OBJECTIVES[spec.objective].main_term: OBJECTIVES[spec.objective].yardstick(spec)
        },
        "params": params,
        "params_total": accounting.params_total(spec),
        "params_non_embedding": accounting.params_non_embedding(spec),
        "train_flops_per_token": per_token,
        "train_flops": per_token * spec.train_tokens,
        "train_flops_6nd": accounting.train_flops_6nd(spec),
    }


def _provenance(
    spec: RunSpec,
    session: Session,
    *,
    wall_seconds: float,
    steps: int,
    device: torch.device | None,
    split: Split,
    attempts: int,
    compiled: bool = False,
) -> Provenance:
    own_tokens = max(0, steps - session.origin_step) * spec.batch_tokens
    return Provenance(
        wall_seconds=wall_seconds,
        train_seconds=session.seconds,
        spent_flops=own_tokens * accounting.train_flops_per_token(spec),
        forked_from=session.forked_from,
        attempts=attempts,
        device=device_name(device),
        devices=split.devices,
        strategy=split.strategy if split.devices > 1 else None,
        micro_batch=split.micro_batch,
        compiled=compiled,
        versions=versions(),
        git_commit=git_commit(),
        finished_at=now(),
        **asdict(peak_memory.read()),
    )
