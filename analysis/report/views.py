"""What the page's template prints: tables of cells, and numbers as cells."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from analysis.style import number, with_interval
from analysis.values import Estimate, Flag


@dataclass(frozen=True, kw_only=True, slots=True)
class Head:
    """The heading of a column; `key` is the CSS variable of an arm's colour."""

    text: str
    unit: str = ""
    numeric: bool = False
    key: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """A value, and in small print its interval or what qualifies it."""

    text: str
    small: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class TableView:
    """A table with a caption; the first cell of a row is its heading."""

    caption: str
    heads: tuple[Head, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def __post_init__(self) -> None:
        for row in self.rows:
            assert len(row) == len(self.heads), "a cell per column"


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """The report card of one fit."""

    title: str
    status: str
    key: str = ""
    formula: str = ""
    table: TableView | None = None
    facts: tuple[tuple[str, str], ...] = ()
    flags: tuple[Flag, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """A check of the study as a whole, with what it found."""

    title: str
    text: str
    tables: tuple[TableView, ...] = ()
    flags: tuple[Flag, ...] = field(default=())


def cell(value: object, small: str = "") -> Cell:
    """Text as it is, numbers with three digits, nothing as a dash."""
    if isinstance(value, str):
        return Cell(text=value, small=small)
    if value is None:
        return Cell(text="–", small=small)
    return Cell(text=number(float(value)), small=small)  # type: ignore[arg-type]


def estimate_cell(estimate: Estimate | None, note: str = "") -> Cell:
    """The value, with the interval and a note in small print."""
    if estimate is None:
        return Cell(text="–", small=note)
    box = estimate.interval
    if box is None:
        return Cell(text=number(estimate.value), small=f"no interval {note}".strip())
    text, low, high = with_interval(estimate.value, box.low, box.high)
    return Cell(text=text, small=f"[{low}, {high}] {note}".strip())


def table_view(caption: str, heads: Sequence[Head], rows: Iterable[Sequence[Cell]]) -> TableView:
    return TableView(caption=caption, heads=tuple(heads), rows=tuple(tuple(row) for row in rows))
