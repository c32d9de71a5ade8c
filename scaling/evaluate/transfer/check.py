"""Every example is looked at before anything is measured: a wrong one is named by file and line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

from scaling.evaluate.transfer.layout import Layout
from scaling.evaluate.transfer.rows import SPLITS, Row, TaskDataError, read_rows, where_is
from scaling.evaluate.transfer.tasks import TASKS
from scaling.tokenizer import byte_tokenizer

# Longer than any example, so that nothing is cut.
_ANY_LENGTH = 1 << 30


@lru_cache(maxsize=4)
def check_examples(place: str, task: str) -> None:
    """Raises TaskDataError for the first example that lacks what the task needs."""
    rows, make = read_rows(place), TASKS[task]
    try:
        made = make(rows["train"])
    except TaskDataError as error:
        # One example, or all of them together, such as a single label.
        wrong = _first(rows["train"], lambda row: make([row]), like=str(error))
        if wrong is None:
            raise TaskDataError(f"data={place}: {error}") from error
        raise TaskDataError(f"{where_is(place, 'train', wrong)}: {error}") from error
    layout = Layout(tokenizer=byte_tokenizer(), seq_len=_ANY_LENGTH)
    for split in SPLITS:
        for number, row in enumerate(rows[split]):
            try:
                made.example(row, layout)
            except TaskDataError as error:
                raise TaskDataError(f"{where_is(place, split, number)}: {error}") from error


def _first(rows: Sequence[Row], look: Callable[[Row], object], like: str) -> int | None:
    for number, row in enumerate(rows):
        try:
            look(row)
        except TaskDataError as error:
            if str(error) == like:
                return number
    return None
