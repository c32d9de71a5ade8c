"""Limits of a sweep: which cells its own rules would exclude, so that no plan proposes them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from analysis.errors import AnalysisError
from analysis.table import Table


@dataclass(frozen=True, kw_only=True, slots=True)
class SizeRule:
    """What the sweep set for one size; batches and warm-up in tokens."""

    params_non_embedding: float
    batch_tokens: int
    warmup_tokens: int
    cooldown_share: float


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepLimits:
    """The limits of a sweep file and the sizes that it trained.

    Attributes:
        bounds: `min_steps`, `min_tokens_per_param` (N without embeddings), `max_tokens_per_param`;
            those that the sweep sets.
        sizes: name of a size -> what the sweep set for it.
    """

    bounds: Mapping[str, float] = field(default_factory=dict)
    sizes: Mapping[str, SizeRule] = field(default_factory=dict)

    def broken(self, size: str, train_tokens: float) -> str:
        """The rule that a cell would break, such as "min_steps=250"; empty if none is known."""
        rule = self.sizes.get(size)
        if rule is None:
            return ""
        if rule.warmup_tokens > train_tokens * (1 - rule.cooldown_share):
            return "room for the warm-up before the cool-down"
        steps = train_tokens // rule.batch_tokens
        ratio = train_tokens / rule.params_non_embedding
        found = {"min_steps": steps, "min_tokens_per_param": ratio, "max_tokens_per_param": ratio}
        for name, bound in self.bounds.items():
            value = found.get(name)
            if value is None:
                continue
            if value < bound if name.startswith("min") else value > bound:
                return f"{name}={bound:g}"
        return ""


def read_limits(source: Path, table: Table) -> SweepLimits | None:
    """The limits of the sweep folder that `table` was read from; None for a CSV.

    Raises:
        AnalysisError: the sweep's file is no YAML.
    """
    listing = source / "cells.json"
    if not listing.is_file() or "size" not in table.frame:
        return None
    runs = table.frame.set_index("run_id")
    sizes = {}
    for cell in json.loads(listing.read_text(encoding="utf-8"))["cells"]:
        spec, size = cell.get("spec"), (cell.get("labels") or {}).get("size")
        if not spec or size is None or cell.get("run_id") not in runs.index:
            continue
        sizes[str(size)] = SizeRule(
            params_non_embedding=float(runs.loc[cell["run_id"], "params_non_embedding"]),
            batch_tokens=int(spec["batch_tokens"]),
            warmup_tokens=int(spec["warmup_tokens"]),
            cooldown_share=spec["cooldown_tokens"] / spec["train_tokens"],
        )
    return SweepLimits(bounds=_bounds(source / "sweep.yaml"), sizes=sizes)


def _bounds(path: Path) -> dict[str, float]:
    if not path.is_file():
        return {}
    import yaml  # slow to import

    try:
        content: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        limits = content["parameters"].get("limits", {}).get("value", {})
        return {str(name): float(bound) for name, bound in limits.items()}
    except (yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise AnalysisError(f"{path} is no sweep file: {' '.join(str(error).split())}") from error
