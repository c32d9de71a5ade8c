"""The kinds of task by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from scaling.evaluate.transfer.classification import Classification
from scaling.evaluate.transfer.rows import Row
from scaling.evaluate.transfer.similarity import Similarity
from scaling.evaluate.transfer.span import Span
from scaling.evaluate.transfer.tagging import Tagging
from scaling.evaluate.transfer.task import Task

TASKS: dict[str, Callable[[Sequence[Row]], Task]] = {
    "classification": Classification,
    "tagging": Tagging,
    "span": Span,
    "similarity": Similarity,
}
