"""The charts as a workspace of W&B, by `wandb-workspaces` (the extra `dashboard`)."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from scaling.dashboard.charts import COLUMNS, SECTIONS, Chart
from scaling.errors import TrackingError
from scaling.install import install_command
from scaling.wandb_mirror.project import Project

_COLUMNS_PER_ROW = 2
# `wandb-workspaces` draws its ids at random.
_ID_NAMES = frozenset({"__id__", "id"})


def make_workspace(project: Project, sweep: str) -> Any:
    """The workspace of one sweep: its runs, grouped by architecture."""
    ws = library("workspaces")
    from wandb_workspaces import expr

    return ws.Workspace(
        entity=project.entity,
        project=project.project,
        name=f"Scaling: {sweep}",
        sections=[
            ws.Section(
                name=name,
                panels=make_panels(charts),
                is_open=True,
                layout_settings=ws.SectionLayoutSettings(columns=_COLUMNS_PER_ROW),
            )
            for name, charts in SECTIONS.items()
        ],
        runset_settings=ws.RunsetSettings(
            filters=expr.And(expr.Config("sweep") == sweep),
            groupby=[expr.Metric("JobType")],
            pinned_columns=[f"summary:{key}" for key in COLUMNS],
        ),
    )


def make_panels(charts: Sequence[Chart]) -> list[Any]:
    return [_MAKERS[chart.kind](library("reports.v2"), chart) for chart in charts]


def as_json(model: Any) -> Any:
    """What `wandb-workspaces` would send, with its random ids replaced by their order."""
    content = model.model_dump(by_alias=True, exclude_none=True, mode="json")
    text = json.dumps(content)
    for number, found in enumerate(dict.fromkeys(_ids(content))):
        text = re.sub(rf'"{re.escape(found)}"', f'"id-{number}"', text)
    return json.loads(text)


def _line(wr: Any, chart: Chart) -> Any:
    return wr.LinePlot(
        title=chart.title, x=chart.x, y=[chart.y], log_x=chart.log_x, log_y=chart.log_y,
        groupby=wr.Config(chart.group_by) if chart.group_by else None,
        groupby_aggfunc="mean" if chart.group_by else None,
        groupby_rangefunc="minmax" if chart.group_by else None,
    )  # fmt: skip


def _scatter(wr: Any, chart: Chart) -> Any:
    return wr.ScatterPlot(
        title=chart.title, x=wr.SummaryMetric(chart.x), y=wr.SummaryMetric(chart.y),
        log_x=chart.log_x, log_y=chart.log_y,
    )  # fmt: skip


def _table(wr: Any, chart: Chart) -> Any:
    return wr.WeavePanelSummaryTable(table_name=chart.y)


def _media(wr: Any, chart: Chart) -> Any:
    return wr.MediaBrowser(title=chart.title, media_keys=[chart.y])


_MAKERS = {"line": _line, "scatter": _scatter, "table": _table, "media": _media}


def library(part: str) -> Any:
    """A part of wandb-workspaces; raises TrackingError where it is not installed."""
    import importlib

    try:
        return importlib.import_module(f"wandb_workspaces.{part}")
    except ImportError as error:
        raise TrackingError(
            f"the dashboard needs wandb-workspaces ({error}); "
            f"install it with: {install_command('dashboard')}"
        ) from None


def _ids(content: Any) -> list[str]:
    if isinstance(content, list):
        return [found for part in content for found in _ids(part)]
    if isinstance(content, dict):
        own = [v for k, v in content.items() if k in _ID_NAMES and isinstance(v, str) and v]
        return own + [found for part in content.values() for found in _ids(part)]
    return []
