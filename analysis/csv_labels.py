"""What the loss of a foreign CSV is, and labels that quote its columns."""

from __future__ import annotations

import re

import pandas as pd

from analysis.raw_table import LABELS

# Names of architectures whose loss is known to be of one kind.
_KIND_OF_GROUP = (
    (re.compile(r"mlm|bert|encoder|masked", re.IGNORECASE), "mlm"),
    (re.compile(r"clm|gpt|decoder|causal|autoregressive", re.IGNORECASE), "clm"),
)


def loss_kind_of(
    frame: pd.DataFrame, raw: pd.DataFrame, found: dict[str, str], loss_column: str
) -> tuple[pd.Series, list[str]]:
    """The yardstick of each row's loss, from a column, else from the groups' names."""
    if loss_column == "bits_per_byte":
        return pd.Series("bits_per_byte", index=frame.index), []
    if "loss_kind" in found:
        return raw[found["loss_kind"]].astype(object).fillna("unknown").astype(str), []
    plain = pd.Series(found["loss"], index=frame.index)
    if "group" not in frame:
        return plain, []
    kind_of = {g: _kind_of_group(g) for g in frame["group"].dropna().unique()}
    if len(set(kind_of.values())) < 2 or None in kind_of.values():
        return plain, []
    listed = ", ".join(f"{group}: {kind}" for group, kind in kind_of.items())
    note = f"the kind of loss is read off the groups' names ({listed}); a column loss_kind decides"
    return frame["group"].map(kind_of), [note]


def _kind_of_group(group: str) -> str | None:
    return next((kind for pattern, kind in _KIND_OF_GROUP if pattern.search(group)), None)


def quoted_labels(found: dict[str, str], frame: pd.DataFrame, loss_column: str) -> dict[str, str]:
    """Labels that quote the file's own column; one that is plain `N` has no convention."""
    labels: dict[str, str] = {}
    for role in ("params_total", "params_non_embedding", "train_tokens", "train_flops"):
        column = found.get(role)
        if column is None:
            continue
        labels[role] = f"{LABELS[role]} ({column})" if column != role else LABELS[role]
        if role == "params_total" and not re.search("total", column, re.IGNORECASE):
            labels[role] = f"parameters ({column}; the file does not say if embeddings count)"
        if role == "train_flops" and column != role:
            labels[role] = f"training FLOPs ({column})"
    if "train_tokens" not in found:
        labels["train_tokens"] = "training tokens (C / 6N)"
    if loss_column == "loss_nats" and found["loss"] != "loss_nats":
        kinds = ", ".join(sorted(set(frame["loss_kind"])))
        extra = f"; {kinds}" if kinds != found["loss"] else ""
        labels["loss_nats"] = f"loss ({found['loss']}{extra})"
    return labels
