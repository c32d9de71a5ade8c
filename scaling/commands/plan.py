"""`scaling plan`: what a sweep will train, and what it costs."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scaling.commands.options import json_option, open_sweep, sweep_options

if TYPE_CHECKING:
    from scaling.plan import Plan
    from scaling.sweep import Excluded


@click.command(epilog="Example: scaling plan bert_vs_gpt --set corpus=files:texts/ --json")
@sweep_options
@click.option(
    "--calibration/--no-calibration",
    default=True,
    show_default=True,
    help="Measure this machine for 5 seconds, once per sweep shape, to give times.",
)
@json_option
def plan(
    sweep: str,
    root: Path,
    settings: tuple[str, ...],
    name: str | None,
    workers: int | None,
    calibration: bool,
    as_json: bool,
) -> None:
    """Show what SWEEP, a path or the name of a bundled sweep, will train and what it costs.

    N is given twice: total, which fits use, and without embeddings, which recipes and limits use.
    Times are those of training on this machine, without evaluation.
    """
    from scaling.engines.local import default_workers
    from scaling.plan import make_plan
    from scaling.store import Store

    store = Store(root)
    expanded = open_sweep(store, sweep, settings, name)
    workers = workers or default_workers()
    clock = None
    if calibration:
        from scaling.calibration import calibrate

        clock = calibrate(store, [cell.spec for cell in expanded.cells], workers)
    planned = make_plan(expanded, store, workers=workers, clock=clock)
    if as_json:
        print(json.dumps(planned.to_dict(), indent=1))
    else:
        _print(planned)


def _print(plan: Plan) -> None:
    from rich.console import Console
    from rich.table import Table

    from scaling.words import duration, in_words, short

    table = Table(box=None, header_style="bold")
    labels = list(dict.fromkeys(name for cell in plan.cells for name in cell.labels))
    for label in labels:
        table.add_column(label, overflow="fold")
    for column in ("N total", "N w/o emb.", "D tokens", "FLOPs", "memory", "time"):
        table.add_column(column, justify="right")
    table.add_column("state")
    for cell in plan.cells:
        seconds = cell.train_seconds
        table.add_row(
            *(in_words(cell.labels.get(label, "")) for label in labels),
            short(cell.params_total),
            short(cell.params_non_embedding),
            short(cell.train_tokens),
            f"{cell.train_flops:.3g}",
            f"{short(cell.memory_bytes)}B",
            "-" if seconds is None else duration(seconds),
            cell.state,
        )
    Console().print(table)
    _print_excluded(plan.excluded)
    for note in plan.notes:
        print(f"note: {note}")
    total = plan.to_dict()["total"]
    time = "" if plan.left_seconds is None else f", {duration(plan.left_seconds)} of training"
    print(
        f"{plan.sweep}: {len(plan.cells)} cells, {len(plan.left)} left, {len(plan.excluded)} "
        f"excluded; {total['train_flops']:.3g} FLOPs as if each were trained from scratch, "
        f"{total['left_flops']:.3g} left on shared trunks{time} with {plan.workers} workers"
    )


def _print_excluded(excluded: Iterable[Excluded]) -> None:
    """Each exclusion with its reason; points that differ in their seed alone on one line."""
    from scaling.words import describe

    seeds: dict[tuple[str, str], list[str]] = {}
    for point in excluded:
        labels = dict(point.labels)
        seed = str(labels.pop("seed"))
        seeds.setdefault((describe(labels), point.reason), []).append(seed)
    for (cell, reason), numbers in seeds.items():
        print(f"excluded: {cell} seed={','.join(numbers)}: {reason}")
