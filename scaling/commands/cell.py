"""`scaling cell`: trains one point of a grid, so that a W&B agent can drive the suite."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from scaling import interruption
from scaling.commands.options import root_option, text_loader, wandb_option
from scaling.commands.waiting import waiting

_EXAMPLES = """\b
Examples:
  scaling cell point.json
  scaling cell '${args_json_file}'   # what `command` of a sweep file says
"""


@click.command(epilog=_EXAMPLES)
@click.argument("arguments", type=click.Path(path_type=Path, dir_okay=False))
@root_option
@wandb_option
def cell(arguments: Path, root: Path, wandb_mode: str | None) -> None:
    """Train, and measure, the run that the JSON file ARGUMENTS describes: parameter -> value.

    An agent hands over one point of the sweep's grid. A point that the limits exclude is
    reported and counts as done; a run that is in the store already is not trained again. With
    several agents on one machine, set OMP_NUM_THREADS to the cores that each may use.
    """
    from rich.console import Console

    from scaling.engines.local import run_jobs
    from scaling.jobs import make_evaluation_jobs, make_jobs
    from scaling.progress import sweep_display
    from scaling.resolve import resolve
    from scaling.store import Store
    from scaling.sweep import Cell, make_labels
    from scaling.sweep_evaluations import PARAMETER, evaluation_cells

    store = Store(root)
    values = _read(arguments)
    with waiting("reading the text") as say:
        resolved = resolve(values, text_loader(store, say))
    if resolved.excluded is not None:
        print(f"excluded: {resolved.excluded}")
        return
    assert resolved.spec is not None, "only an excluded point may lack a spec"
    wanted = Cell(labels=make_labels(values), spec=resolved.spec)
    evaluations = evaluation_cells(values.get(PARAMETER) or [], [wanted])
    store.add(wanted.spec)
    for evaluation in evaluations:
        store.add(evaluation.spec)
    jobs = make_jobs([wanted], wandb_mode=wandb_mode)
    jobs += make_evaluation_jobs(evaluations, wandb_mode=wandb_mode)
    try:
        with sweep_display("cell", Console()) as display:
            run_jobs(root, jobs, workers=1, display=display)
    except KeyboardInterrupt:
        print("stopped at its checkpoint; the same command goes on from there")
        sys.exit(interruption.EXIT_CODE)
    states = store.states(job.run_id for job in jobs)
    for run_id, state in states.items():
        reason = store.reason(run_id)
        print(f"{run_id} {state}{f': {reason}' if reason else ''}")
    sys.exit(0 if set(states.values()) == {"done"} else 1)


def _read(path: Path) -> dict[str, Any]:
    from scaling.errors import SweepError

    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise SweepError(f"{path} is not JSON: {error}; pass ${{args_json_file}}") from None
    if not isinstance(values, dict):
        raise SweepError(f"{path} holds {type(values).__name__}, not parameter -> value")
    return values
