"""Settings of the runs behind an arm, as their records say; a CSV says none of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.style import count, number
from analysis.table import Table

UNKNOWN = "not known for this table"


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What a report card says of the runs; `UNKNOWN` where the table cannot tell."""

    shapes: str = UNKNOWN
    data: str = UNKNOWN
    hyper_parameters: str = UNKNOWN
    schedule: str = UNKNOWN
    evaluation: str = UNKNOWN


def read_settings(source: Path, table: Table) -> Settings:
    """The settings of the runs in use, from the listing of the sweep that `table` was read from."""
    listing = source / "cells.json"
    if not listing.is_file():
        return Settings()
    used = set(table.frame["run_id"])
    cells = json.loads(listing.read_text(encoding="utf-8"))["cells"]
    named = [
        (str((cell.get("labels") or {}).get("size")), cell["spec"])
        for cell in cells
        if cell.get("spec") and cell.get("run_id") in used
    ]
    if not named:
        return Settings()
    specs = [spec for _, spec in named]
    return Settings(
        shapes=_by_size(named, "n_layer", "d_model", joined=" x ") + " (layers x width)",
        data=f"{_values(specs, 'corpus')}, tokenizer {_values(specs, 'tokenizer')}, "
        f"{_values(specs, 'vocab_size')} entries, sequences of {_values(specs, 'seq_len')}",
        hyper_parameters="; ".join([
            f"peak_lr {_by_size(named, 'peak_lr')}",
            f"batch_tokens {_by_size(named, 'batch_tokens')}",
            f"weight decay {_values(specs, 'weight_decay')}",
            f"Adam beta2 {_values(specs, 'adam_beta2')}",
            f"precision {_values(specs, 'precision')}",
        ]),
        schedule=_schedule(specs, named),
        evaluation=f"{_values(specs, 'eval_tokens')} tokens of the held-out split",
    )  # fmt: skip


def _values(specs: Sequence[Mapping[str, Any]], name: str) -> str:
    """The value that all runs share, or all values; a field that the records lack is unknown."""
    found = dict.fromkeys(_shown(spec.get(name)) for spec in specs)
    return ", ".join(found)


def _by_size(named: Sequence[tuple[str, Mapping[str, Any]]], *names: str, joined: str = "") -> str:
    """One value for all sizes, or a value per size: how it scales."""
    by_size: dict[str, dict[str, None]] = {}
    for size, spec in named:
        text = joined.join(_shown(spec.get(name)) for name in names)
        by_size.setdefault(size, {})[text] = None
    texts = {size: " or ".join(values) for size, values in by_size.items()}
    if len(set(texts.values())) == 1:
        return f"{next(iter(texts.values()))} at every size"
    return ", ".join(f"{text} at {size}" for size, text in texts.items())


def _shown(value: Any) -> str:
    if value is None:
        return UNKNOWN
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _schedule(
    specs: Sequence[Mapping[str, Any]], named: Sequence[tuple[str, Mapping[str, Any]]]
) -> str:
    shares = {spec["cooldown_tokens"] / spec["train_tokens"] for spec in specs}
    low, high = min(shares), max(shares)
    share = f"{100 * high:.3g} %"
    if high - low > 0.005:
        share = f"{100 * low:.3g} to {100 * high:.3g} %"
    if high == 0:
        cooldown = "no cool-down"
    else:
        cooldown = f"a cool-down over the last {share} of the tokens"
    warmup = _by_size(named, "warmup_tokens")
    return f"warmup_tokens {warmup}, then a constant rate, then {cooldown}"


def repeats(table: Table) -> str:
    """How often the data was read, where the table knows the unique tokens."""
    if "unique_tokens" not in table.frame:
        return UNKNOWN
    unique = table.frame["unique_tokens"].to_numpy(dtype=float)
    passes = table.values("d") / unique
    least, most = (number(float(x), 2) for x in (passes.min(), passes.max()))
    return f"{count(float(unique.max()))} unique tokens at most, read {least} to {most} times"
