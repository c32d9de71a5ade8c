"""Where the numbers of a report come from: settings, corpus, machine, versions, commit."""

from __future__ import annotations

import contextlib
import importlib.metadata
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.read_sweep import cell_record, read_listing, runs_of
from analysis.sealed import DamagedFile
from analysis.style import flops

_ANALYSIS_LIBRARIES = ("numpy", "scipy", "pandas", "matplotlib")


@dataclass(frozen=True, kw_only=True, slots=True)
class Provenance:
    """What a reader needs to make the numbers again.

    Attributes:
        settings: the sweep's file as it was run; None for a CSV.
        facts: heading -> value, in the order of the page.
    """

    settings: str | None
    facts: dict[str, str]


def read_provenance(source: Path, seed: int, n_boot: int) -> Provenance:
    """Collects what the records of a sweep say about their making; a CSV says little."""
    settings_file = source / "sweep.yaml"
    facts = {"Source": str(source)}
    if source.is_dir():
        facts |= _facts(list(_records(source)))
    versions = [f"{name} {importlib.metadata.version(name)}" for name in _ANALYSIS_LIBRARIES]
    facts["Analysis"] = ", ".join([f"Python {platform.python_version()}", *versions])
    facts["Analysis settings"] = f"seed {seed}, {n_boot} bootstrap draws"
    return Provenance(
        settings=settings_file.read_text(encoding="utf-8") if settings_file.is_file() else None,
        facts=facts,
    )


def _records(folder: Path) -> Iterable[dict[str, Any]]:
    """The whole records of a sweep; the table lists those that are damaged."""
    for cell in runs_of(read_listing(folder)["cells"]):
        with contextlib.suppress(DamagedFile):
            record = cell_record(folder.parent / "cells", str(cell.get("run_id")))
            if record is not None:
                yield record


def _facts(records: list[dict[str, Any]]) -> dict[str, str]:
    specs = [record["spec"] for record in records]
    made = [record["provenance"] for record in records]
    seconds = sum(entry["wall_seconds"] for entry in made)
    finished = sorted(entry["finished_at"] for entry in made)
    return {
        "Corpus": _distinct(f"{s['corpus']}, fingerprint {s['corpus_fingerprint']}" for s in specs),
        "Tokenizer": _distinct(
            f"{s['tokenizer']}, {s['vocab_size']} entries, fingerprint "
            f"{s['tokenizer_fingerprint']}" for s in specs
        ),
        "Sequence length": _distinct(str(s["seq_len"]) for s in specs),
        "Runs with a record": f"{len(records)}, {_hours(seconds)} of machine time in all",
        "Training compute": _compute(records),
        "Finished": f"{finished[0]} to {finished[-1]}" if finished else "–",
        "Device": _distinct(entry["device"] for entry in made),
        "Training versions": _distinct(
            ", ".join(f"{k} {v}" for k, v in sorted(entry["versions"].items())) for entry in made
        ),
        "Commit": _distinct(entry["git_commit"] or "not in a repository" for entry in made),
        "Record schema": _distinct(str(record["schema_version"]) for record in records),
    }  # fmt: skip


def _compute(records: list[dict[str, Any]]) -> str:
    """FLOPs as spent, and as if each run had been trained from scratch, which is what laws take."""
    done = [record for record in records if record["status"] == "done"]
    spent = sum(record["provenance"]["spent_flops"] for record in done)
    whole = sum(record["train_flops"] for record in done)
    if not spent:
        return "–"
    return (
        f"{flops(spent)} FLOPs as spent; {flops(whole)} as if each run had been trained from "
        f"scratch, {whole / spent:.2f} times as much, which the laws take"
    )


def _distinct(values: Iterable[str]) -> str:
    """The value that all runs share, or each with the number of its runs."""
    counted: dict[str, int] = {}
    for value in values:
        counted[value] = counted.get(value, 0) + 1
    if len(counted) <= 1:
        return next(iter(counted), "–")
    return "; ".join(f"{value} ({number} runs)" for value, number in counted.items())


def _hours(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
