"""RawTable: what a reader hands to `analysis.table` before the checks, and the labels of axes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pandas as pd

# Order of the canonical columns; those that the source lacks are absent from the frame.
CANONICAL = (
    "row", "run_id", "sweep", "group", "size", "seed", "status", "params_total",
    "params_non_embedding", "train_tokens", "train_flops", "train_flops_6nd", "budget_flops",
    "unique_tokens", "tokens_predicted", "objective", "peak_lr", "loss_nats", "loss_kind",
    "loss_standard_error", "bits_per_byte",
    "bits_per_byte_kind", "bits_per_byte_standard_error", "unigram_nats", "excess_nats",
)  # fmt: skip

LABELS = {
    "params_total": "parameters, with embeddings",
    "params_non_embedding": "parameters, without embeddings",
    "train_tokens": "training tokens",
    "unique_tokens": "unique training tokens",
    "tokens_predicted": "predicted tokens",
    "train_flops": "training FLOPs (exact)",
    "train_flops_6nd": "training FLOPs (6ND)",
    "budget_flops": "FLOP budget (nominal)",
    "bits_per_byte": "bits per byte of held-out text",
    "excess_nats": "loss over the Bayes optimum (nats per target)",
    "seed": "seed",
    "size": "size",
    "group": "group",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class RawTable:
    """Rows as read.

    Attributes:
        frame: canonical columns and `reason`, empty for rows that may be used.
        columns: role -> canonical column.
        labels: role or canonical column -> label with unit.
        extra: columns beyond the canonical ones by which runs may be grouped.
        by: what the groups are.
    """

    frame: pd.DataFrame
    columns: dict[str, str]
    labels: dict[str, str]
    notes: tuple[str, ...]
    provenance: dict[str, Any]
    curve_points: pd.DataFrame = field(default_factory=pd.DataFrame)
    extra: tuple[str, ...] = ()
    by: str = "group"


def labels_for(columns: dict[str, str], frame: pd.DataFrame, **known: str) -> dict[str, str]:
    """Labels of the roles and of every canonical column that has one; `known` ones win."""
    labels = {name: text for name, text in LABELS.items() if name in frame}
    kinds = ", ".join(sorted({str(kind) for kind in frame["loss_kind"].dropna()}))
    labels["loss_nats"] = f"loss (nats per target, {kinds})"
    labels |= known
    return labels | {role: labels[column] for role, column in columns.items() if column in labels}
