"""What a look through the store finds: one line each with the case, the rule and the remedy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# Kind -> the rule that is broken, and what `--mend` does about it.
DAMAGES: dict[str, tuple[str, str]] = {
    "record": (
        "a result counts only as it was written",
        "moved to damaged/, so that the cell is pending again",
    ),
    "spec": (
        "a cell is what its spec says",
        "moved to damaged/ where it is there, and written anew from the record or a sweep",
    ),
    "unknown cell": (
        "a cell is what its spec says, and neither a record nor a sweep knows this one",
        "the folder is moved to damaged/",
    ),
    "listing": (
        "a sweep is the cells that it lists",
        "moved to damaged/; `scaling run` of the sweep lists them again",
    ),
    "checkpoint": (
        "a run goes on from a whole checkpoint only",
        "moved to damaged/; the run repeats the steps that it held",
    ),
    "weights": (
        "weights are used whole only",
        "moved to damaged/; the result of the run stands",
    ),
    "temporary": ("a write that was cut off counts for nothing", "deleted"),
    "claim": ("a claim holds while its owner gives signs of life", "the cell is freed"),
    "guard": ("a takeover takes a moment", "removed"),
}  # fmt: skip

# Kind -> the rule, and what can be done; nothing is wrong, so `--mend` leaves them.
NOTES: dict[str, tuple[str, str]] = {
    "no weights": (
        "evaluation and export need them",
        "the result stands; to have them again, move its record.json away and run the sweep",
    ),
    "orphan": (
        "a report reads the cells of one sweep",
        "`scaling cell` makes such cells; a sweep that needs this run finds it",
    ),
    "refused": ("the first result of a cell counts", "compare the two; the file may be deleted"),
    "schema": ("a newer suite wrote it", "update the suite"),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing that is not as it should be, or that is worth knowing.

    Attributes:
        kind: key of DAMAGES or NOTES.
        path: in the store.
        what: what is the case, to follow the path in a sentence.
        mended: whether `--mend` has seen to it.
    """

    kind: str
    path: str
    what: str
    mended: bool = False

    @property
    def is_damage(self) -> bool:
        return self.kind in DAMAGES

    def line(self) -> str:
        rule, remedy = (DAMAGES | NOTES)[self.kind]
        if not self.is_damage:
            return f"note: {self.path} {self.what}; {rule}; {remedy}"
        if self.mended:
            return f"mended: {self.path} {self.what}; {rule}; {remedy}"
        return f"damage: {self.path} {self.what}; {rule}; with --mend: {remedy}"

    def to_dict(self) -> dict[str, Any]:
        rule, remedy = (DAMAGES | NOTES)[self.kind]
        return {
            "kind": self.kind,
            "path": self.path,
            "what": self.what,
            "rule": rule,
            "remedy": remedy,
            "is_damage": self.is_damage,
            "mended": self.mended,
        }
