"""Says where one group holds runs that differ in more than size, horizon and seed."""

from __future__ import annotations

import pandas as pd

# Settings that a law must not mix; at one size, for those that a recipe sets by size.
_SETTINGS = (
    "arch", "objective", "attention", "mask_rate", "target_share", "peak_lr", "batch_tokens",
    "weight_decay", "precision",
)  # fmt: skip


def pooling_notes(frame: pd.DataFrame, n_column: str) -> list[str]:
    """One sentence per setting; a setting without a column is the same in all runs."""
    if "group" not in frame:
        return []
    notes = []
    for name in _SETTINGS:
        if name not in frame:
            continue
        pooled = [
            str(group) for group, runs in frame.groupby("group", sort=False)
            if runs.groupby(n_column)[name].nunique().max() > 1
        ]  # fmt: skip
        if pooled:
            found = ", ".join(sorted(set(frame[name][frame["group"].isin(pooled)].astype(str))))
            notes.append(
                f"one law for {', '.join(pooled)} pools runs of one size that differ in {name} "
                f"({found}) and describes none of them; --by {name} takes them apart"
            )
    return notes
