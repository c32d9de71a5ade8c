"""`scaling dashboard`: a workspace and a report in W&B, as code."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scaling.commands.options import known_sweep, root_option

if TYPE_CHECKING:
    from scaling.dashboard.study_run import Outline

_EXAMPLES = """\b
Examples:
  scaling dashboard push bert_vs_gpt --project my-team/scaling
  scaling dashboard dump quickstart > dashboard.json
"""


@click.group(epilog=_EXAMPLES)
def dashboard() -> None:
    """Charts of a sweep in W&B: losses, IsoFLOP, laws, throughput, states; and a report."""


_project = click.option(
    "--project", metavar="ENTITY/PROJECT", help="Where to.  [default: as of `scaling sync`]"
)
_n_boot = click.option(
    "--n-boot", type=click.IntRange(min=100), default=1000, show_default=True,
    help="Bootstrap draws behind the intervals.",
)  # fmt: skip


@dashboard.command(epilog=_EXAMPLES)
@click.argument("sweep")
@root_option
@_project
@_n_boot
@click.pass_context
def push(context: click.Context, sweep: str, root: Path, project: str | None, n_boot: int) -> None:
    """Fit SWEEP, and save its tables, figures, workspace and report; again: replace them.

    The runs themselves come from `scaling sync`, or from training online.
    """
    from scaling.commands.sync import project_of
    from scaling.dashboard.push import push_dashboard
    from scaling.store import Store
    from scaling.wandb_mirror.project import complete, require_key
    from scaling.wandb_mirror.sent import Sent

    store = Store(root)
    name = known_sweep(store, sweep)
    server = require_key()
    target = complete(project, project_of(store, name))
    with tempfile.TemporaryDirectory(prefix="scaling-dashboard-") as folder:
        outline = _outline(context, store.sweep_folder(name), Path(folder), n_boot)
        sent = Sent(root, server, target)
        with sent.alone():
            for line in push_dashboard(name, outline, target, sent, root):
                print(line)


@dashboard.command(epilog=_EXAMPLES)
@click.argument("sweep")
@root_option
@_project
@_n_boot
@click.pass_context
def dump(context: click.Context, sweep: str, root: Path, project: str | None, n_boot: int) -> None:
    """Print the same as JSON, offline: nothing is sent, and no account is asked for."""
    from scaling.commands.sync import project_of
    from scaling.dashboard.charts import SECTIONS
    from scaling.dashboard.report import TITLE, markdown_sections
    from scaling.dashboard.workspace import as_json, make_panels, make_workspace
    from scaling.store import Store
    from scaling.wandb_mirror.project import parse_project

    store = Store(root)
    name = known_sweep(store, sweep)
    text = project or project_of(store, name)
    target = parse_project(text if "/" in text else f"entity/{text}")
    with tempfile.TemporaryDirectory(prefix="scaling-dashboard-") as folder:
        outline = _outline(context, store.sweep_folder(name), Path(folder), n_boot)
    panels: dict[str, Any] = {
        heading: [as_json(panel._to_model()) for panel in make_panels(charts)]
        for heading, charts in SECTIONS.items()
    }
    content = {
        "workspace": as_json(make_workspace(target, name)._to_model()),
        "report": {
            "title": TITLE.format(sweep=name),
            "sections": markdown_sections(outline),
            "panels": panels,
        },
        "tables": {key: list(rows) for key, rows in outline.tables.items()},
        "figures": sorted(outline.figures),
    }
    print(json.dumps(content, indent=1, ensure_ascii=False))


def _outline(context: click.Context, source: Path, folder: Path, n_boot: int) -> Outline:
    """The study as whoever knows `analysis` makes it."""
    from scaling.dashboard.study_run import FIGURES, Outline

    made = context.find_root().obj["outline"](source, folder, tuple(FIGURES), n_boot)
    return Outline(**made)
