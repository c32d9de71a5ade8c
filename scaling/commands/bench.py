"""`scaling bench`: what this machine can do, and what the suite's settings bring on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scaling.commands.options import json_option, root_option
from scaling.commands.waiting import waiting

if TYPE_CHECKING:
    from rich.table import Table

_EXAMPLES = """\b
Examples:
  scaling bench
  scaling bench --again --json > machine.json
"""


@click.command(epilog=_EXAMPLES)
@root_option
@click.option("--again", is_flag=True, help="Measure anew instead of reading the last measurement.")
@json_option
def bench(root: Path, again: bool, as_json: bool) -> None:
    """Measure this machine: matrix products, memory, and real training steps under each setting.

    It takes about a minute on an idle machine, and is kept in the store under the machine's name.
    From then on training logs its share of the measured peak (MFU), and `scaling run` shares the
    cores out as it was faster here.
    """
    from scaling.bench.cache import read, write
    from scaling.bench.measure import machine_key, measure_machine
    from scaling.store import Store

    cache = Store(root).cache
    found = None if again else read(cache, machine_key())
    if found is None:
        with waiting("measuring this machine") as say:
            found = measure_machine(lambda what: say(f"measuring this machine: {what}"))
        write(cache, found)
    if as_json:
        print(json.dumps(found, indent=1))
    else:
        _print(found)


def _print(found: dict[str, Any]) -> None:
    from rich.console import Console

    console = Console()
    print(f"{found['machine']}; measured {found['measured_at']}")
    for table in (_limits(found), _widths(found), _settings(found), _layouts(found)):
        console.print()
        console.print(table)


def _limits(found: dict[str, Any]) -> Table:
    table = _table("device", "matmul float32", "matmul bf16", "memory")
    devices = [("one core", found["limits"]["core"])]
    devices += [(gpu["name"], gpu) for gpu in found["limits"]["gpus"]]
    for name, limits in devices:
        peaks = limits["matmul_flops_per_second"]
        table.add_row(
            name,
            *(f"{peaks[precision] / 1e9:,.0f} GFLOP/s" for precision in ("float32", "bf16")),
            f"{limits['copy_bytes_per_second'] / 1e9:,.0f} GB/s",
        )
    return table


def _widths(found: dict[str, Any]) -> Table:
    from scaling.bench.measure import USUAL

    peak = found["limits"]["core"]["matmul_flops_per_second"]["float32"]
    table = _table("one thread, float32", "tokens/s", "GFLOP/s", "of the peak")
    for row in found["widths"]:
        speed = row["tokens_per_cpu_second"][USUAL]
        flops = speed * row["train_flops_per_token"]
        table.add_row(_shape(row), f"{speed:,.0f}", f"{flops / 1e9:.1f}", f"{flops / peak:.0%}")
    return table


def _settings(found: dict[str, Any]) -> Table:
    from scaling.bench.measure import SETTINGS, USUAL

    compared = [row for row in found["widths"] if len(row["tokens_per_cpu_second"]) > 1]
    table = _table("speed against float32 as launched", *(_shape(row) for row in compared))
    for name in SETTINGS:
        speeds = [row["tokens_per_cpu_second"] for row in compared]
        if name != USUAL and all(name in of_row for of_row in speeds):
            table.add_row(name, *(f"{of_row[name] / of_row[USUAL]:.2f}" for of_row in speeds))
    return table


def _layouts(found: dict[str, Any]) -> Table:
    widths = list(dict.fromkeys(row["d_model"] for row in found["layouts"]))
    table = _table("all cores, tokens/s together", *(f"d_model {d}" for d in widths))
    rows: dict[tuple[int, int], list[str]] = {}
    for row in found["layouts"]:
        key = (row["processes"], row["threads"])
        rows.setdefault(key, []).append(f"{row['tokens_per_second']:,.0f}")
    for (processes, threads), cells in rows.items():
        table.add_row(f"{processes} processes x {threads} threads", *cells)
    return table


def _shape(row: dict[str, Any]) -> str:
    return f"d_model {row['shape']['d_model']}, vocabulary {row['shape']['vocab_size']}"


def _table(first: str, *others: str) -> Table:
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column(first)
    for column in others:
        table.add_column(column, justify="right")
    return table
