"""Check: one answer about this machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# `optional`: something is not there that only some uses need.
Verdict = Literal["ok", "optional", "warning", "failed"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """Only `failed` keeps the machine from being used; all but `ok` say what to do."""

    name: str
    verdict: Verdict
    found: str
    remedy: str | None = None

    def __post_init__(self) -> None:
        assert (self.verdict == "ok") == (self.remedy is None), "what is amiss has a remedy"
