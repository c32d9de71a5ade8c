"""The report in W&B: the verdicts, the fits with intervals, the optima, and the live charts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scaling.dashboard.charts import SECTIONS
from scaling.dashboard.study_run import Outline
from scaling.dashboard.workspace import library, make_panels
from scaling.wandb_mirror.project import Project

TITLE = "Scaling laws: {sweep}"
_ESCAPED = str.maketrans({c: f"\\{c}" for c in "\\`*_{}[]<>#|$!~"})


def markdown_sections(outline: Outline) -> dict[str, str]:
    """Heading -> text; everything that comes from data is escaped."""
    sections = {"What was found": _list(outline.sentences)}
    if outline.tables["fits"]:
        sections["Fits, with 95 % intervals"] = _table(outline.tables["fits"])
    if outline.tables["optima"]:
        sections["Best size and tokens at each budget"] = _table(outline.tables["optima"])
    if outline.missing:
        lines = [f"{name}: {reason}" for name, reason in outline.missing.items()]
        sections["What could not be made, and why"] = _list(lines)
    return sections


def make_report(project: Project, sweep: str, outline: Outline) -> Any:
    """The report, to be saved; building its sets of runs asks the server."""
    wr = library("reports.v2")
    runs = wr.Runset(
        entity=project.entity,
        project=project.project,
        name=sweep,
        filters=f"Config('sweep') = '{sweep}'",
    )
    blocks: list[Any] = []
    for heading, text in markdown_sections(outline).items():
        blocks += [wr.H2(heading), wr.MarkdownBlock(text)]
    for heading, charts in SECTIONS.items():
        blocks += [wr.H2(heading), wr.PanelGrid(runsets=[runs], panels=make_panels(charts))]
    return wr.Report(
        entity=project.entity,
        project=project.project,
        title=TITLE.format(sweep=sweep),
        description="Written by `scaling dashboard push`, which replaces it.",
        blocks=blocks,
        width="fluid",
    )


def _list(lines: Sequence[str]) -> str:
    return "\n".join(f"- {_escaped(line)}" for line in lines) or "- nothing"


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    columns = list(rows[0])
    lines = [columns, ["---"] * len(columns)]
    lines += [[_cell(row[column]) for column in columns] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else _escaped(str(value))


def _escaped(text: str) -> str:
    return " ".join(text.split()).translate(_ESCAPED)
