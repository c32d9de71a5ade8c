"""Saves the dashboard of a sweep on the server; what an earlier push saved there is replaced."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scaling.dashboard.report import make_report
from scaling.dashboard.study_run import Outline, send_study
from scaling.dashboard.workspace import make_workspace
from scaling.errors import TrackingError
from scaling.wandb_mirror.project import Project, unreachable
from scaling.wandb_mirror.sent import Sent
from scaling.wandb_mirror.upload import sending


def push_dashboard(
    sweep: str, outline: Outline, project: Project, sent: Sent, root: Path
) -> Iterator[str]:
    """Yields one line for each thing that was saved.

    Raises:
        TrackingError: the server does not take it, or wandb-workspaces is not installed.
    """
    workspace = make_workspace(project, sweep)
    with sending(root):
        send_study(sweep, outline, project)
        yield f"tables and figures of {sweep}: run study-{sweep} of {project.path}"
        try:
            yield f"workspace: {_save_workspace(workspace, sweep, sent)}"
            yield f"report: {_save_report(make_report(project, sweep, outline), sweep, sent)}"
        except TrackingError:
            raise
        except Exception as error:
            raise unreachable(error) from error


def _save_workspace(workspace: Any, sweep: str, sent: Sent) -> str:
    note = f"workspace {sweep}"
    if known := sent.digest(note):
        workspace._internal_id, workspace._internal_name = json.loads(known)
    workspace.save()
    sent.confirm(note, json.dumps([workspace._internal_id, workspace._internal_name]))
    return str(workspace.url)


def _save_report(report: Any, sweep: str, sent: Sent) -> str:
    note = f"report {sweep}"
    if known := sent.digest(note):
        report.id = known
    report.save()
    sent.confirm(note, report.id)
    return str(report.url)
