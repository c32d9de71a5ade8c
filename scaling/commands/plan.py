"""`scaling plan`: what a sweep will train, and what it costs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scaling.commands.options import json_option, open_sweep, price_option, sweep_options
from scaling.commands.waiting import waiting

if TYPE_CHECKING:
    from scaling.plan import Plan
    from scaling.sweep import Excluded


_EXAMPLES = """\b
Examples:
  scaling plan quickstart
  scaling plan bert_vs_gpt --set corpus=files:texts/ --json
  scaling plan bert_vs_gpt --workers 8 --price-per-device-hour '2.5 EUR'
"""


@click.command(epilog=_EXAMPLES)
@sweep_options
@price_option
@click.option(
    "--calibration/--no-calibration",
    default=True,
    show_default=True,
    help="Measure this machine, once and for some seconds per shape, to give times.",
)
@json_option
def plan(
    sweep: str,
    root: Path,
    settings: tuple[str, ...],
    name: str | None,
    workers: int | None,
    price: str | None,
    calibration: bool,
    as_json: bool,
) -> None:
    """Show what SWEEP, a path or the name of a bundled sweep, will train and what it costs.

    N is given twice: total, which fits use, and without embeddings, which recipes and limits use.
    Times are those of training on this machine, without evaluation. They are measured once, and
    read at the next call. A sweep file may hold the price as the parameter
    `price_per_device_hour: {value: 2.5 EUR}`.
    """
    from scaling.capacity import cell_memory_bytes
    from scaling.engines.local import default_workers
    from scaling.plan import make_plan
    from scaling.price import parse_price
    from scaling.store import Store

    store = Store(root)
    wanted_price = parse_price(price) if price is not None else None
    with waiting(f"reading the sweep {sweep} and its text") as say:
        expanded = open_sweep(store, sweep, settings, name, say)
        workers = workers or default_workers()
        clock = None
        if calibration:
            from scaling.calibration import calibrate

            clock = calibrate(store, [cell.spec for cell in expanded.cells], workers, say=say)
        planned = make_plan(
            expanded,
            store,
            workers=workers,
            clock=clock,
            device_memory_bytes=cell_memory_bytes(),
            price=wanted_price,
        )
    if as_json:
        print(json.dumps(planned.to_dict(), indent=1))
    else:
        _print(planned)


def _print(plan: Plan) -> None:
    from rich.console import Console
    from rich.table import Table

    from scaling.forecast import forecast_line
    from scaling.words import describe, duration, in_words, short

    # Close together, for the columns are many and a terminal has 80.
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    labels = list(dict.fromkeys(name for cell in plan.cells for name in cell.labels))
    for label in labels:
        table.add_column(label, overflow="fold")
    for column in ("N\ntotal", "N w/o\nemb.", "D\ntokens", "FLOPs", "memory", "time"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for cell in plan.cells:
        seconds = cell.train_seconds
        table.add_row(
            *(in_words(cell.labels.get(label, "")) for label in labels),
            short(cell.params_total),
            short(cell.params_non_embedding),
            short(cell.train_tokens),
            f"{cell.train_flops:.3g}",
            f"{short(cell.memory_bytes)}B" + ("" if cell.fits else " too large"),
            "-" if seconds is None else duration(seconds),
            cell.state,
        )
    Console().print(table)
    _print_excluded(plan.excluded)
    for note in plan.notes:
        print(f"note: {note}")
    total = plan.to_dict()["total"]
    print(
        f"{plan.sweep}: {len(plan.cells)} cells, {len(plan.left)} left, {len(plan.excluded)} "
        f"excluded; {total['train_flops']:.3g} FLOPs as if each were trained from scratch, "
        f"{total['left_flops']:.3g} left on shared trunks"
    )
    for name, number in Counter(cell.measurement for cell in plan.evaluations).items():
        left = sum(cell.measurement == name for cell in plan.evaluations_left)
        print(f"then measured: {name}, {number} evaluations, {left} left")
    if plan.left:
        print(f"forecast: {forecast_line(plan)}")
    for cell in plan.too_large:
        assert plan.device_memory_bytes is not None, "else none is said to be too large"
        needed = f"{short(cell.memory_bytes)}B of {short(plan.device_memory_bytes)}B"
        print(f"does not fit: {describe(cell.labels)}: {needed}; run it with --micro-batch")


def _print_excluded(excluded: Iterable[Excluded]) -> None:
    """Each exclusion with its reason; points that differ in their seed alone on one line."""
    from scaling.logs import harmless
    from scaling.words import describe

    seeds: dict[tuple[str, str], list[str]] = {}
    for point in excluded:
        labels = dict(point.labels)
        seed = str(labels.pop("seed"))
        seeds.setdefault((describe(labels), point.reason), []).append(seed)
    for (cell, reason), numbers in seeds.items():
        print(harmless(f"excluded: {cell} seed={','.join(numbers)}: {reason}"))
