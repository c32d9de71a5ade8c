"""Puts a study on one page: HTML with its drawings, styles and data inside."""

from __future__ import annotations

import base64
import datetime
import importlib.resources
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
import pandas as pd

from analysis.plots.canvas import Panel, render, stack, svg_text
from analysis.plots.figures import FIGURES, Drawing
from analysis.report import advice, cards, checks, words
from analysis.report.forecast import forecast_check
from analysis.report.inline_svg import inline_svg
from analysis.report.number_tables import approaches_table, arms_table
from analysis.report.provenance import Provenance, read_provenance
from analysis.report.run_tables import seeds_table, unused_table, used_table
from analysis.report.views import Card, Check, TableView
from analysis.study import Study
from analysis.values import Flag

_SECTIONS = (
    ("verdict", "Verdict"), ("numbers", "The numbers"), ("figures", "Figures"),
    ("fits", "Report cards"), ("checks", "Checks"), ("runs", "Runs"),
    ("provenance", "How it was made"),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class FigureView:
    """A figure on the page: its panels as SVG, its data as a link that needs no host."""

    name: str
    title: str
    caption: str
    panels: tuple[str, ...]
    csv_uri: str
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
    templates = importlib.resources.files("analysis") / "templates"
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string((templates / "report.html.j2").read_text(encoding="utf-8"))
    css = (templates / "report.css").read_text(encoding="utf-8")
    return template.render(page=_page(study, today or datetime.date.today()), css=css)


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
        number_tables=(arms_table(study), approaches_table(study)),
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
    encoded = base64.b64encode(data.to_csv(index=False).encode()).decode()
    return FigureView(
        name=drawing.name,
        title=drawing.title,
        caption=drawing.caption,
        panels=tuple(panels),
        csv_uri=f"data:text/csv;base64,{encoded}",
        n_rows=len(data),
    )


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
