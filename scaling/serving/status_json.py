"""What the served page is told of a sweep: short, and without a path of this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scaling.logs import harmless
from scaling.words import in_words

if TYPE_CHECKING:
    from scaling.sweep_status import CellStatus, SweepStatus

# Cells of one kind that are listed; the counts tell how many there are.
MOST_CELLS = 60
_MOST_CHARACTERS = 500


def status_json(status: SweepStatus) -> dict[str, Any]:
    """Counts, speed, what runs and what ended without a result."""
    return {
        "sweep": status.sweep,
        "counts": status.counts,
        "tokens_per_second": status.tokens_per_second,
        "seconds_left": status.seconds_left,
        "is_over": status.is_over,
        "running": [_cell(cell) for cell in status.running[:MOST_CELLS]],
        "n_running": len(status.running),
        "unmet": [_cell(cell) for cell in status.unmet[-MOST_CELLS:]],
        "n_unmet": len(status.unmet),
    }


def _cell(cell: CellStatus) -> dict[str, Any]:
    return {
        "run_id": cell.run_id,
        "labels": {_short(name): _short(in_words(value)) for name, value in cell.labels.items()},
        "state": cell.state,
        "reason": _short(cell.reason),
        "tokens": cell.tokens,
        "train_tokens": cell.train_tokens,
        "tokens_per_second": cell.tokens_per_second,
        "losses": {_short(term): nats for term, nats in cell.losses.items()},
        "machine": _short(cell.machine),
        "last_log_line": _short(cell.last_log_line),
        "has_log": cell.log is not None,
    }


def _short(text: str | None) -> str | None:
    if text is None:
        return None
    text = harmless(text)
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}…"
