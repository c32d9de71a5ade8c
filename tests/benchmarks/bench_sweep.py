"""A whole sweep: `scaling run` against one process per run, float32, uncompiled, cosine.

    python -m tests.benchmarks.bench_sweep [--full] [--json FILE] [--write DOCUMENT]

Both train the same models on the same tokens to the same horizons, and measure validation loss and
bits per byte at the end. Ours shares a trunk between the horizons of a size and reads curves on the
way; the naive one starts each horizon from scratch. Without `--full`, a cut-down quickstart: both
arms, three sizes, three horizons.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from scaling.commands.options import open_sweep
from scaling.engines.local import default_workers
from scaling.forecast import read_cells
from scaling.machine import training_environment
from scaling.store import Store
from tests.benchmarks.document import put_section
from tests.benchmarks.machine_facts import facts, in_one_sentence
from tests.benchmarks.ratios import rotated, speed_ratio
from tests.benchmarks.step.tables import table
from tests.benchmarks.sweep.spent import Spent, run_all

SMALL_GRID = ("size=[14k, 25k, 55k]", "train_flops=[5.0e+10, 1.0e+11, 2.0e+11]")
GOAL = 3.0


def measured(settings: tuple[str, ...], *, rounds: int, workers: int) -> dict[str, Any]:
    """Both sweeps in turn, `rounds` times, each on an empty store with the text in its cache."""
    spent: dict[str, list[Spent]] = {"ours": [], "naive": []}
    with tempfile.TemporaryDirectory() as folder:
        facts_of_grid = _read_grid(Path(folder) / "plan", settings)
        for number in range(rounds):
            for name in rotated(list(spent), number):
                root = Path(folder) / f"{name}{number}"
                cells = _cells(root, settings)
                if name == "ours":
                    taken = _ours(root, settings, workers)
                else:
                    taken = _naive(root, cells, workers)
                spent[name].append(taken)
                print(f"{name}: {taken}", file=sys.stderr, flush=True)
    return {
        "machine": facts(),
        "workers": workers,
        **facts_of_grid,
        "seconds": {name: [one.seconds for one in taken] for name, taken in spent.items()},
        "cpu_seconds": {name: [one.cpu_seconds for one in taken] for name, taken in spent.items()},
    }


def _cells(root: Path, settings: tuple[str, ...]) -> list[dict[str, Any]]:
    """The specs of the grid; the text is then in the cache of the store."""
    sweep = open_sweep(Store(root), "quickstart", settings, None)
    return [cell.spec.to_dict() for cell in sweep.cells]


def _read_grid(root: Path, settings: tuple[str, ...]) -> dict[str, Any]:
    from scaling.jobs import make_jobs

    sweep = open_sweep(Store(root), "quickstart", settings, None)
    jobs = make_jobs(sweep.cells)
    return {
        "cells": len(jobs),
        "train_tokens": sum(job.train_tokens for job in jobs),
        "own_tokens": sum(job.own_tokens for job in jobs),
        "train_flops": sum(job.train_tokens * job.train_flops_per_token for job in jobs),
        "own_flops": sum(job.own_flops for job in jobs),
    }


def _ours(root: Path, settings: tuple[str, ...], workers: int) -> Spent:
    command = [sys.executable, "-m", "scaling", "run", "quickstart", "--root", str(root)]
    command += ["--workers", str(workers), "--wandb", "disabled"]
    for setting in settings:
        command += ["--set", setting]
    env = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    spent = run_all([command], at_a_time=1, env=env)
    states = Store(root).states(cell["run_id"] for cell in read_cells(Store(root), "quickstart"))
    assert set(states.values()) == {"done"}, states
    return spent


def _naive(root: Path, cells: list[dict[str, Any]], workers: int) -> Spent:
    commands = []
    for number, spec in enumerate(cells):
        path = root / f"naive{number}.json"
        path.write_text(json.dumps(spec | {"precision": "float32"}))
        module = "tests.benchmarks.sweep.naive_run"
        commands.append([sys.executable, "-m", module, str(path), str(root / "cache")])
    ours = training_environment(1)
    env = {name: value for name, value in os.environ.items() if name not in ours}
    env["OMP_NUM_THREADS"] = "1"
    return run_all(commands, at_a_time=workers, env=env)


def markdown(content: dict[str, Any]) -> str:
    cpu, wall = content["cpu_seconds"], content["seconds"]
    cpu_ratio = speed_ratio(cpu["ours"], cpu["naive"])
    wall_ratio = speed_ratio(wall["ours"], wall["naive"])
    rows = [["", "naive", "this suite", "ratio"]]
    for name, values, ratio in (
        ("CPU-seconds", cpu, cpu_ratio),
        (f"seconds, {content['workers']} processes at a time", wall, wall_ratio),
    ):
        rows.append([name, *(f"{min(values[who]):.0f}" for who in ("naive", "ours")), str(ratio)])
    for name, unit in (("tokens trained", "tokens"), ("training FLOPs", "flops")):
        whole, own = content[f"train_{unit}"], content[f"own_{unit}"]
        rows.append([name, f"{whole:.3g}", f"{own:.3g}", f"{whole / own:.2f}"])
    said = "reached" if cpu_ratio.median >= GOAL else "not reached"
    return (
        f"{in_one_sentence(content['machine'])} {content['cells']} cells; best of "
        f"{len(cpu['ours'])} rounds, ratios with the least and the most.\n\n{table(rows)}\n\n"
        f"The goal, {GOAL:g} times fewer CPU-seconds: {said} ({cpu_ratio}).\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="the quickstart as it is")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--workers", type=int, default=default_workers())
    parser.add_argument("--json", type=Path, help="write what was measured")
    parser.add_argument("--write", type=Path, help="put the table into this document")
    given = parser.parse_args()
    settings = () if given.full else SMALL_GRID
    content = measured(settings, rounds=given.rounds, workers=given.workers)
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(content, indent=1) + "\n")
    if given.write:
        put_section(given.write, "sweep", markdown(content))
    print(markdown(content))


if __name__ == "__main__":
    main()
