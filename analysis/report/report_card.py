"""report_card: the card of one fit, as the report prints it, for a notebook or a terminal."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from analysis.errors import AnalysisError
from analysis.fit import fit_law
from analysis.frontier_result import FrontierResult
from analysis.isoflop_result import IsoflopResult
from analysis.report.cards import (
    envelope_card,
    envelope_facts,
    profile_facts,
    profiles_card,
    surface_card,
    surface_facts,
)
from analysis.report.checklist import ITEMS, Facts, FitFacts
from analysis.report.views import Card, Cell
from analysis.result import FitResult
from analysis.shown import Shown, as_html, flag_lines
from analysis.table import Table


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class ReportCard(Shown):
    """How one fit was made, how far it can be trusted, and its flags."""

    card: Card

    @property
    def status(self) -> str:
        """`ok`, `flagged` or `failed`, as the fit's."""
        return self.card.status

    def summary(self) -> str:
        """The card as text."""
        facts = [f"{name}: {value}" for name, value in self.card.facts]
        rows = [f"  {'  '.join(filter(None, row))}" for row in self._rows()]
        return "\n".join([*self._lines(), *rows, *facts, *flag_lines(self.card.flags)])

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for JSON: title, status, formula, numbers, facts, flags."""
        heads = self._heads()
        return {
            "title": self.card.title,
            "status": self.card.status,
            "formula": self.card.formula,
            "numbers": [dict(zip(heads, row, strict=True)) for row in self._rows()],
            "facts": dict(self.card.facts),
            "flags": [dataclasses.asdict(flag) for flag in self.card.flags],
        }

    def _repr_html_(self) -> str:
        lines = [*self._lines(), *(f"{name}: {value}" for name, value in self.card.facts)]
        return as_html(lines, heads=self._heads(), rows=self._rows(), flags=self.card.flags)

    def _lines(self) -> list[str]:
        head = f"{self.card.title} ({self.card.status})"
        return [head, self.card.formula] if self.card.formula else [head]

    def _heads(self) -> list[str]:
        view = self.card.table
        return [f"{h.text} ({h.unit})" if h.unit else h.text for h in view.heads] if view else []

    def _rows(self) -> list[list[str]]:
        return [list(map(_text, row)) for row in self.card.table.rows] if self.card.table else []


def _text(cell: Cell) -> str:
    return f"{cell.text} {cell.small}".strip()


def report_card(
    source: FitResult | IsoflopResult | FrontierResult | Table | pd.DataFrame, **options: Any
) -> ReportCard:
    """The card of one fit: numbers with intervals, how they were made, and every flag.

    Args:
        source: a result of `fit_law`, `isoflop` or `frontier`; or a table, to which a law is
            fitted first.
        options: of `analysis.fit_law`, where a table is given.
    Raises:
        AnalysisError: there is no card of such a thing, or the table cannot be fitted.

    >>> from analysis import fit_law, load_table, report_card
    >>> from analysis.examples import planted_runs
    >>> card = report_card(fit_law(load_table(planted_runs()), n_boot=100))
    >>> card.status
    'ok'
    >>> card.to_dict()["facts"]["Runs and ranges"]  # doctest: +ELLIPSIS
    '19 runs, 7 sizes; params_total 4e+06 to 3e+09, 7 distinct; train_tokens 1.515e+08 to ...'
    """
    if isinstance(source, (Table, pd.DataFrame)):
        source = fit_law(source, **options)
    elif options:
        raise AnalysisError(
            f"{', '.join(options)} cannot change a fit that is made; give the table instead"
        )
    make = next((make for kind, make in _CARDS.items() if isinstance(source, kind)), None)
    if make is None:
        raise AnalysisError(
            f"there is no report card of {type(source).__name__}; give a result of fit_law, "
            "isoflop or frontier, or a table"
        )
    return ReportCard(card=make(source))


def _of_fit(fit: FitResult) -> Card:
    ranges = "; ".join(
        f"{axis.column} {axis.low:.4g} to {axis.high:.4g}, {axis.n_distinct} distinct"
        for axis in fit.axes.values()
    )
    data = {
        "Variables": "; ".join(f"{_symbol(role)} = {axis.column}, {axis.unit}"
                               for role, axis in fit.axes.items()),
        "Runs and ranges": f"{fit.n_runs} runs, {fit.n_clusters} {fit.cluster}s; {ranges}",
        "Excluded": _excluded(fit.excluded),
    }  # fmt: skip
    return surface_card(fit, fit.label, _facts(surface_facts(fit), data))


def _of_profiles(result: IsoflopResult) -> Card:
    title = f"IsoFLOP profiles ({result.method})"
    return profiles_card(result, title, _facts(profile_facts(result), _data(result)))


def _of_frontier(result: FrontierResult) -> Card:
    warned = any(flag.severity != "note" for flag in result.flags)
    facts = _facts(envelope_facts(result), _data(result))
    return envelope_card(result, "Lower envelope", facts, "flagged" if warned else "ok")


def _data(result: IsoflopResult | FrontierResult) -> dict[str, str]:
    variables = "; ".join(f"{_symbol(role)} = {result.columns[role]}" for role in ("n", "d", "c"))
    return {
        "Variables": f"{variables}; {result.yardstick}",
        "Runs and ranges": f"{result.n_runs} runs",
    }


def _facts(made: FitFacts, data: Mapping[str, str]) -> Facts:
    """The items of the checklist that one result can answer; a report answers the others."""
    lines = {**made.lines(), **data}
    return tuple((item, lines[item]) for item in ITEMS if item in lines)


def _symbol(role: str) -> str:
    return "L" if role == "loss" else role.upper()


def _excluded(excluded: pd.DataFrame) -> str:
    counts = excluded["reason"].value_counts()
    return "; ".join(f"{amount} x {reason}" for reason, amount in counts.items()) or "none"


_CARDS: Mapping[type, Callable[[Any], Card]] = {
    FitResult: _of_fit,
    IsoflopResult: _of_profiles,
    FrontierResult: _of_frontier,
}
