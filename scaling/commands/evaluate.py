"""`scaling evaluate`: measures runs that are trained already."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scaling import interruption
from scaling.commands.options import (
    engine_options,
    json_option,
    known_sweep,
    one_run,
    parse_engine_options,
    parse_settings,
    root_option,
    wandb_option,
)
from scaling.evaluate import MEASUREMENTS

if TYPE_CHECKING:
    from scaling.jobs import Job
    from scaling.store import Store
    from scaling.sweep import Cell
    from scaling.sweep_evaluations import EvaluationCell

_EXAMPLES = """\b
Examples:
  scaling evaluate q5_cls
  scaling evaluate quickstart --measurement cls_geometry
  scaling evaluate 0123abcd --measurement cls_geometry --set 'weights=[trained, initial]' --json
"""


@click.command(epilog=_EXAMPLES)
@click.argument("target", metavar="SWEEP|RUN_ID")
@root_option
@click.option(
    "--measurement",
    type=click.Choice(list(MEASUREMENTS)),
    help="What is measured.  [default: all that the sweep lists]",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="OPTION=VALUE",
    help="An option of the measurement: VALUE is YAML, a list is a grid.",
)
@click.option("--workers", type=click.IntRange(min=1), help="Cells at a time.")
@wandb_option
@engine_options
@json_option
def evaluate(
    target: str,
    root: Path,
    measurement: str | None,
    settings: tuple[str, ...],
    workers: int | None,
    wandb_mode: str | None,
    engine: str,
    settings_of_engine: tuple[str, ...],
    as_json: bool,
) -> None:
    """Measure the runs of SWEEP that are trained, or the run RUN_ID; nothing is trained.

    Each measurement of a run is a cell of the store, and one that is done is not made again.
    Those of a sweep are listed with it from then on: `scaling status SWEEP` shows them, and
    `scaling answer` reads them. Exit code 1 says that one has no result.
    """
    from scaling.engines import load_engine
    from scaling.jobs import make_evaluation_jobs
    from scaling.store import Store

    store = Store(root)
    if settings and measurement is None:
        raise click.UsageError("--set gives options of a measurement: name it with --measurement")
    wanted = [{"measurement": measurement, **parse_settings(settings)}] if measurement else None
    name, cells = _cells(store, target, wanted)
    for cell in cells:
        store.add(cell.spec)
    jobs = make_evaluation_jobs(cells, sweep=name or "cells", wandb_mode=wandb_mode)
    options = parse_engine_options(settings_of_engine)
    _measure(store, name or target, jobs, partial(load_engine(engine), workers=workers,
                                                  options=options), quiet=as_json)  # fmt: skip
    sys.exit(_say(store, cells, as_json=as_json))


def _cells(
    store: Store, target: str, wanted: list[dict[str, Any]] | None
) -> tuple[str | None, list[EvaluationCell]]:
    """The name of the sweep, None for a single run, and what is to be measured."""
    from scaling.errors import StoreError
    from scaling.sweep import Cell, make_labels
    from scaling.sweep_evaluations import evaluation_cells, listed_evaluations

    if target not in store.sweeps() and not Path(target).is_file() and _is_id(target):
        spec = store.run_spec(one_run(target, store.run_ids()))
        if wanted is None:
            raise click.UsageError("a single run needs --measurement")
        run = Cell(labels=make_labels(spec.to_dict()), spec=spec)
        return None, evaluation_cells(wanted, _trained(store, [run]), added=True)
    name = known_sweep(store, target)
    listing = store.sweep_cells(name)
    runs = _trained(store, _runs(listing))
    listed = listed_evaluations(listing, {run.run_id: run.spec for run in runs})
    if wanted is None:
        if not listed:
            raise StoreError(
                f"the sweep {name} lists no evaluation of a run that is done; name one with "
                f"--measurement: {', '.join(MEASUREMENTS)}"
            )
        return name, listed
    cells = evaluation_cells(wanted, runs, added=True)
    _list_with(store, name, listing, cells)
    return name, cells


def _is_id(target: str) -> bool:
    return 4 <= len(target) <= 16 and set(target) <= set("0123456789abcdef")


def _runs(listing: list[dict[str, Any]]) -> list[Cell]:
    from scaling.evaluation_cell import is_evaluation
    from scaling.spec import RunSpec
    from scaling.sweep import Cell

    return [
        Cell(
            labels=cell["labels"],
            spec=RunSpec.from_dict(cell["spec"]),
            depends_on=cell["depends_on"],
        )
        for cell in listing
        if cell["excluded"] is None and not is_evaluation(cell["spec"])
    ]


def _trained(store: Store, runs: list[Cell]) -> list[Cell]:
    """Those that are done; says how many are not."""
    from scaling.errors import StoreError

    states = store.states(run.run_id for run in runs)
    done = [run for run in runs if states[run.run_id] == "done"]
    if not done:
        raise StoreError(
            f"none of {len(runs)} runs is done; `scaling run` trains them, and measures what its "
            "sweep lists"
        )
    if len(done) < len(runs):
        print(f"{len(runs) - len(done)} runs are not done and are left out", file=sys.stderr)
    return done


def _list_with(
    store: Store, name: str, listing: list[dict[str, Any]], cells: list[EvaluationCell]
) -> None:
    """Adds the cells to the listing of the sweep."""
    known = {cell["run_id"] for cell in listing}
    new = [cell.to_dict() for cell in cells if cell.run_id not in known]
    if new:
        source = (store.sweep_folder(name) / "sweep.yaml").read_text(encoding="utf-8")
        store.write_sweep(name, source, listing + new)


def _measure(store: Store, name: str, jobs: list[Job], work: Any, *, quiet: bool) -> None:
    from rich.console import Console

    from scaling.progress import sweep_display

    try:
        interruption.check()
        with sweep_display(name, Console(stderr=quiet)) as display:
            work(store.root, jobs, display=display)
    except KeyboardInterrupt:
        print("\nstopped; what is measured stays, and the same command goes on", file=sys.stderr)
        sys.exit(interruption.EXIT_CODE)


def _say(store: Store, cells: list[EvaluationCell], *, as_json: bool) -> int:
    """Prints what was found, or why not; returns the exit code."""
    from scaling.evaluation_cell import EvaluationRecord
    from scaling.words import describe

    states = store.states(cell.run_id for cell in cells)
    n_done = sum(state == "done" for state in states.values())
    if as_json:
        rows = []
        for cell in cells:
            state = states[cell.run_id]
            record = store.record(cell.run_id) if state == "done" else None
            rows.append(cell.to_dict() | {"state": state, "reason": store.reason(cell.run_id),
                        "values": record.values if isinstance(record, EvaluationRecord) else None,
                        })  # fmt: skip
        print(json.dumps({"evaluations": rows}, indent=1))
    else:
        for cell in cells:
            if (state := states[cell.run_id]) != "done":
                why = store.reason(cell.run_id)
                print(
                    f"{state}: {describe(cell.labels)} ({cell.run_id}){f': {why}' if why else ''}"
                )
        print(
            f"{n_done} of {len(cells)} evaluations are done, in {store.cells}; `--json` shows them"
        )
    return 0 if n_done == len(cells) else 1
