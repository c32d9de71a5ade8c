"""Puts a study on one page: HTML with its drawings, styles and data inside."""

from __future__ import annotations

import base64
import datetime
import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.plots.canvas import Panel, render, stack, svg_text
from analysis.plots.figures import FIGURES, Drawing
from analysis.report import advice, cards, checks, words
from analysis.report.budget_tables import budget_tables
from analysis.report.explore import explore_data
from analysis.report.forecast import forecast_check
from analysis.report.inline_svg import inline_svg
from analysis.report.number_tables import approaches_table, arms_table
from analysis.report.page_template import render_page
from analysis.report.provenance import Provenance, read_provenance
from analysis.report.run_tables import seeds_table, unused_table, used_table
from analysis.report.views import Card, Check, TableView
from analysis.study import Study
from analysis.values import Flag

_SECTIONS = (
    ("verdict", "Verdict"), ("numbers", "The numbers"), ("explore", "Explore"),
    ("figures", "Figures"),
    ("fits", "Report cards"), ("checks", "Checks"), ("runs", "Runs"),
    ("provenance", "How it was made"),
)  # fmt: skip


# Data of a figure beyond this is compressed: pandas and any spreadsheet's importer read it still.
_LONG_BYTES = 60_000


@dataclass(frozen=True, kw_only=True, slots=True)
class FigureView:
    """A figure on the page: its panels as SVG, its data as a link that needs no host."""

    name: str
    title: str
    caption: str
    panels: tuple[str, ...]
    csv_uri: str
    csv_ending: str
    n_rows: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """All that the template prints."""

    title: str
    subtitle: str
    source: str
    date: str
    sections: tuple[tuple[str, str], ...]
    lead: Sequence[str]
    can: Sequence[str]
    cannot: Sequence[str]
    changes: Sequence[str]
    next_steps: Sequence[str]
    verdict_flags: tuple[Flag, ...]
    number_tables: tuple[TableView, ...]
    explore: dict[str, Any]
    example_budget: str
    figures: tuple[FigureView, ...]
    figures_missing: tuple[str, ...]
    cards: tuple[Card, ...]
    checks: tuple[Check, ...]
    run_tables: tuple[TableView, ...]
    methods: Sequence[str]
    provenance: Provenance


def write_report(study: Study, folder: Path, *, today: datetime.date | None = None) -> Path:
    """Writes FOLDER/report.html; equal studies give equal bytes but for the date."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "report.html"
    path.write_text(report_html(study, today=today), encoding="utf-8")
    return path


def report_html(study: Study, *, today: datetime.date | None = None) -> str:
    """The whole page. Every text from the study is escaped; styles and drawings are our own."""
    page = _page(study, today or datetime.date.today())
    return render_page("report.html.j2", page, data=page.explore)


def _page(study: Study, today: datetime.date) -> Page:
    arms = list(study.arms.values())
    names = " and ".join(arm.name for arm in arms) if len(arms) <= 3 else f"{len(arms)} groups"
    title = f"How {names} scale{'s' if len(arms) == 1 else ''}: {study.source.stem}"
    made = {name: make(study) for name, make in FIGURES.items()}
    used = [used_table(arm) for arm in arms]
    run_tables = [*used, seeds_table(study.table), unused_table(study)]
    return Page(
        title=title if study.table.groups else f"How the runs scale: {study.source.stem}",
        subtitle=f"{len(study.table.frame)} runs in the fits, {len(study.table.excluded)} cells "
        f"not; {study.n_boot} bootstrap draws; {today.isoformat()}",
        source=str(study.source),
        date=today.isoformat(),
        sections=_SECTIONS,
        lead=words.lead(study),
        can=words.can(study),
        cannot=words.cannot(study),
        changes=advice.changes(study),
        next_steps=advice.next_steps(study),
        verdict_flags=words.verdict_flags(study),
        number_tables=(arms_table(study), approaches_table(study), *budget_tables(study)),
        explore=explore_data(study),
        example_budget=f"{10 * float(study.table.values('c').max()):.0e}".replace("e+", "e"),
        figures=tuple(_figure(drawing) for drawing in made.values() if drawing),
        figures_missing=tuple(_why_missing(study, made)),
        cards=cards.cards(study),
        checks=(*checks.checks(study), forecast_check(study.source)),
        run_tables=tuple(view for view in run_tables if view),
        methods=words.methods(study),
        provenance=read_provenance(study.source, study.seed, study.n_boot),
    )


def _figure(drawing: Drawing) -> FigureView:
    """Each panel is a drawing of its own, so that narrow screens stack them at a legible size."""
    panels, tables = [], []
    for panel in drawing.panels:
        svg, data = _svg(panel)
        panels.append(svg)
        tables.append(data)
    data = stack(tables)
    csv_uri, csv_ending = _link(data.to_csv(index=False).encode())
    return FigureView(
        name=drawing.name,
        title=drawing.title,
        caption=drawing.caption,
        panels=tuple(panels),
        csv_uri=csv_uri,
        csv_ending=csv_ending,
        n_rows=len(data),
    )


def _link(csv: bytes) -> tuple[str, str]:
    """The data as an address, and the ending of its file; long data is compressed."""
    kind, ending = "text/csv", "csv"
    if len(csv) > _LONG_BYTES:
        csv, kind, ending = gzip.compress(csv, mtime=0), "application/gzip", "csv.gz"
    return f"data:{kind};base64,{base64.b64encode(csv).decode()}", ending


def _svg(panel: Panel) -> tuple[str, pd.DataFrame]:
    figure, data = render([panel])
    svg = inline_svg(svg_text(figure), name=panel.name, title=panel.title, description=panel.alt)
    return svg, data


def _why_missing(study: Study, made: dict[str, Drawing | None]) -> list[str]:
    """A sentence per figure, or part of one, that could not be drawn."""
    needs = {
        "curves": "No figure of training curves: the table holds none.",
        "bits-per-byte": "No figure of bits per byte: the table does not hold them per arm.",
    }
    reasons = [needs[name] for name, drawing in made.items() if drawing is None and name in needs]
    for arm in study.arms.values():
        reasons += [
            f"{arm.name}, no {part}: {reason}"
            for part, reason in arm.missing.items()
            if part in ("isoflop", "envelope", "optima", "fit")
        ]
    return reasons
