"""`scaling sync`: mirrors a store, or one sweep of it, to a W&B project."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scaling import interruption
from scaling.commands.options import known_sweep, root_option

if TYPE_CHECKING:
    from scaling.store import Store

_EXAMPLES = """\b
Examples:
  scaling sync --project my-team/scaling
  scaling sync bert_vs_gpt --project my-team/scaling
  WANDB_BASE_URL=https://wandb.example.org scaling sync
"""


@click.command(epilog=_EXAMPLES)
@click.argument("sweep", required=False)
@root_option
@click.option(
    "--project",
    metavar="ENTITY/PROJECT",
    help="Where to.  [default: WANDB_ENTITY, else your own, and WANDB_PROJECT, else that of the "
    "sweep file, else scaling]",
)
def sync(sweep: str | None, root: Path, project: str | None) -> None:
    """Send every cell of SWEEP that has ended to W&B; without SWEEP, those of the whole store.

    Safe to repeat, to interrupt and to run while a sweep trains: what W&B holds already is not sent
    again, what it holds in part goes on where it broke off, and the store stays as it is. Each run
    gets its rows with exact counters, its final values and its whole record.
    """
    from scaling.errors import StoreError
    from scaling.logs import harmless
    from scaling.store import Store
    from scaling.wandb_mirror.overview import send_overviews
    from scaling.wandb_mirror.project import complete, require_key
    from scaling.wandb_mirror.sent import Sent
    from scaling.wandb_mirror.upload import members, send_cells

    store = Store(root)
    name = known_sweep(store, sweep) if sweep else None
    cells = members(store, name)
    if not cells:
        raise StoreError(
            f"{root} holds no cells; give the store with --root, or make one with "
            "`scaling run SWEEP`"
        )
    server = require_key()
    target = complete(project, project_of(store, name))
    sent = Sent(root, server, target)
    try:
        with sent.alone():
            found = send_cells(store, cells, target, sent, say=print)
            send_overviews(store, [name] if name else store.sweeps(), target, sent)
    except KeyboardInterrupt:
        print("stopped; the same command goes on from there")
        sys.exit(interruption.EXIT_CODE)
    for run_id, reason in found.unreadable.items():
        print(harmless(f"not sent: {run_id}: {reason}"))
    print(
        f"{target.path} on {server}: {found.sent} cells sent now, {found.held} were there, "
        f"{found.not_ended} have not ended"
    )
    sys.exit(1 if found.unreadable else 0)


def project_of(store: Store, name: str | None) -> str:
    """The project that the sweep file names."""
    from scaling.errors import SweepError
    from scaling.sweep_file import read_config
    from scaling.wandb_mirror.project import DEFAULT_PROJECT

    if name is None:
        return DEFAULT_PROJECT
    try:
        config, _ = read_config(store.sweep_folder(name) / "sweep.yaml")
    except (OSError, SweepError):
        return DEFAULT_PROJECT
    return str(config.get("project") or DEFAULT_PROJECT)
