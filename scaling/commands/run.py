"""`scaling run`: trains and measures what is missing of a sweep."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scaling import interruption
from scaling.commands.options import (
    compile_option,
    engine_options,
    open_sweep,
    parse_engine_options,
    price_option,
    run_again,
    split_options,
    sweep_options,
    wandb_option,
)
from scaling.commands.outcomes import report_failures, with_added_evaluations
from scaling.commands.waiting import waiting

if TYPE_CHECKING:
    from scaling.calibration import Speed
    from scaling.compiling import CompileSwitch
    from scaling.jobs import Job
    from scaling.price import Price
    from scaling.split import Split, Strategy
    from scaling.store import Store
    from scaling.sweep import Sweep

_EXAMPLES = """\b
Examples:
  scaling run quickstart --set 'seed=[0, 1]' --workers 2
  scaling run bert_vs_gpt --root /shared/runs --timeout-minutes 240
  scaling run bert_vs_gpt --set 'precision=bf16' --compile on
  scaling run bert_vs_gpt --wandb online --price-per-device-hour '2.5 EUR'
"""


@click.command(epilog=_EXAMPLES)
@sweep_options
@split_options
@compile_option
@price_option
@click.option("--timeout-minutes", type=click.FloatRange(min=0), help="End a cell after this time.")
@wandb_option
@engine_options
def run(
    sweep: str,
    root: Path,
    settings: tuple[str, ...],
    name: str | None,
    workers: int | None,
    devices: int,
    strategy: Strategy,
    micro_batch: int | None,
    compile_switch: CompileSwitch,
    price: str | None,
    timeout_minutes: float | None,
    wandb_mode: str | None,
    engine: str,
    settings_of_engine: tuple[str, ...],
) -> None:
    """Train, then measure, what is missing of SWEEP, a path or the name of a bundled sweep.

    Cells that another sweep has trained are taken from the store. After a kill the same command
    goes on where the checkpoints are. `scaling status SWEEP --watch` shows it from elsewhere,
    `scaling cancel SWEEP` stops it. Exit code 1 says that a cell has no result, and which.
    """
    from scaling.compiling import check_switch, notes
    from scaling.engines import load_engine, prepare_engine
    from scaling.jobs import make_evaluation_jobs, make_jobs
    from scaling.price import parse_price
    from scaling.split import Split, check_devices
    from scaling.store import Store

    wanted_price = parse_price(price) if price is not None else None
    options = parse_engine_options(settings_of_engine)
    store = Store(root)
    if not _seems_done(store, sweep, name):
        prepare_engine(engine, workers)
    with waiting(f"reading the sweep {sweep} and its text") as say:
        expanded = open_sweep(store, sweep, settings, name, say)
    split = Split(devices=devices, strategy=strategy, micro_batch=micro_batch)
    _check_split(store, expanded, split)
    # This machine's speed and memory say nothing of the machines of another engine.
    is_here = engine == "local"
    if is_here:
        check_devices(split)
    check_switch(compile_switch, devices=devices, is_here=is_here)
    expanded = with_added_evaluations(store, expanded)
    store.write_sweep(expanded.name, expanded.source, expanded.to_dicts())
    for cell in expanded.all_cells:
        store.add(cell.spec)
    for note in expanded.notes:
        print(note)
    if expanded.excluded:
        print(f"{len(expanded.excluded)} cells are excluded; `scaling plan {sweep}` says why")
    if is_here and workers is None and devices == 1:
        workers = _measured_workers(store, expanded)
    clock = _clock(store, expanded, workers) if is_here else None
    shared: dict[str, Any] = {
        "timeout_seconds": timeout_minutes and timeout_minutes * 60,
        "sweep": expanded.name,
        "project": expanded.project,
        "wandb_mode": wandb_mode,
    }
    jobs = make_jobs(
        expanded.cells,
        clock=clock,
        devices=devices,
        strategy=strategy,
        micro_batch=micro_batch,
        compile_switch=compile_switch if devices == 1 else "off",
        **shared,
    )
    jobs += make_evaluation_jobs(expanded.evaluations, **shared)
    train = partial(load_engine(engine), workers=workers, options=options)
    _lift_marks(store, expanded)
    for note in notes([job.compile for job in jobs if not job.of], is_here=is_here):
        print(note)
    if _forecast(
        store,
        expanded,
        workers,
        clock if devices == 1 else None,  # what was measured is one process
        wanted_price,
        is_here=is_here,
    ):
        _train(store, expanded, jobs, train)
        _print_outcome(store, expanded.name)
    sys.exit(report_failures(store, expanded, again=run_again(store, expanded.name, sweep)))


def _lift_marks(store: Store, sweep: Sweep) -> None:
    """Makes cancelled cells pending again: whoever runs a sweep wants them."""
    from scaling.cancel import lift

    states = store.states(cell.run_id for cell in sweep.all_cells)
    lifted = [lift(store.folder(run_id)) for run_id, state in states.items() if state != "done"]
    if sum(lifted):
        print(f"{sum(lifted)} cells were cancelled and go on where their checkpoints are")


def _forecast(
    store: Store,
    sweep: Sweep,
    workers: int | None,
    clock: Speed | None,
    price: Price | None,
    *,
    is_here: bool,
) -> bool:
    """Keeps the forecast, and says it where this machine was measured before: it never measures.

    Args:
        is_here: whether the cells are trained on this machine.
    Returns:
        False where nothing is left to train or to measure, and so nothing is forecast.
    """
    from scaling.forecast import forecast_line, write_forecast
    from scaling.plan import make_plan

    most_bytes = None
    if is_here:
        from scaling.capacity import cell_memory_bytes
        from scaling.engines.local import default_workers

        workers, most_bytes = workers or default_workers(), cell_memory_bytes()
    planned = make_plan(
        sweep,
        store,
        workers=workers,
        clock=clock,
        device_memory_bytes=most_bytes,
        price=price,
    )
    if not planned.left:
        return bool(planned.evaluations_left)
    write_forecast(store, planned)
    if planned.left_seconds is not None:
        print(f"forecast: {forecast_line(planned)}")
    elif planned.too_large:
        print(f"{forecast_line(planned)}; `scaling plan` says which")
    return True


def _print_outcome(store: Store, name: str) -> None:
    from scaling.forecast import outcome_line, outcomes

    if found := outcomes(store, name):
        print(outcome_line(found))


def _seems_done(store: Store, sweep: str, name: str | None) -> bool:
    """Whether the last launch of a sweep of this name left nothing to do."""
    from scaling.errors import StoreError
    from scaling.store import ENDED

    try:
        found = store.sweep_cells(name or Path(sweep).stem)
    except StoreError:
        return False
    cells = [cell["run_id"] for cell in found if cell["excluded"] is None]
    return all(state in ENDED for state in store.states(cells).values())


def _clock(store: Store, sweep: Sweep, workers: int | None) -> Speed | None:
    """What `scaling plan` has measured, so that what takes longest starts first."""
    from scaling.calibration import cached
    from scaling.engines.local import default_workers

    return cached(store, [cell.spec for cell in sweep.cells], workers or default_workers())


def _measured_workers(store: Store, sweep: Sweep) -> int | None:
    """As many at a time as `scaling bench` found fastest for what is left; it is never run here."""
    from collections import Counter

    from scaling.bench.choice import measured_workers
    from scaling.store import ENDED

    states = store.states(cell.run_id for cell in sweep.cells)
    tokens: Counter[int] = Counter()
    for cell in sweep.cells:
        if states[cell.run_id] not in ENDED:
            tokens[cell.spec.d_model] += cell.spec.train_tokens
    return measured_workers(store.cache, tokens)


def _check_split(store: Store, sweep: Sweep, split: Split) -> None:
    """Raises SplitError, before anything starts, for the first cell that cannot be cut so."""
    from scaling.store import ENDED

    states = store.states(cell.run_id for cell in sweep.cells)
    for cell in sweep.cells:
        if states[cell.run_id] not in ENDED:
            split.check(cell.spec)


def _train(store: Store, sweep: Sweep, jobs: list[Job], train: Callable[..., None]) -> None:
    from rich.console import Console

    from scaling.engines import DisplayLeft
    from scaling.progress import sweep_display
    from scaling.store import ENDED

    try:
        interruption.check()
        with sweep_display(sweep.name, Console()) as display:
            train(store.root, jobs, display=display)
    except DisplayLeft as left_alone:
        print(f"\n{left_alone}")
        print(f"watch them again with: {_same_command()}")
        sys.exit(interruption.EXIT_CODE)
    except KeyboardInterrupt:
        states = store.states(cell.run_id for cell in sweep.all_cells)
        left = sum(state not in ENDED for state in states.values())
        print(f"\nstopped with {left} of {len(states)} cells to do, each at its checkpoint")
        print(f"go on with: {_same_command()}")
        sys.exit(interruption.EXIT_CODE)


def _same_command() -> str:
    return shlex.join(["scaling", *sys.argv[1:]])
