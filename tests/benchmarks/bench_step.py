"""Our training step against what people use for small models, as ratios of CPU time per token.

    python -m tests.benchmarks.bench_step [--quick] [--only NAMES] [--json FILE] [--markdown]

Every program trains the same shape on one thread in a process of its own; the programs take turns
in rounds, in an order that rotates, so that a slow minute of the machine meets all of them. The
table gives medians over rounds with the least and the most, relative to a plain loop of our model.
Peers: `pip install 'scaling-suite[bench]'`; LitGPT apart, as `make bench` does.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from scaling.accounting import train_flops_per_token
from scaling.bench.limits import SQUARE, copy_bytes_per_second, matmul_flops_per_second
from scaling.bench.shape import Shape
from scaling.bench.subject import spec_of
from tests.benchmarks.document import put_section
from tests.benchmarks.machine_facts import facts
from tests.benchmarks.step.arms import PROGRAMS
from tests.benchmarks.step.measure import Crew, measure
from tests.benchmarks.step.plain import ARCHITECTURES
from tests.benchmarks.step.shapes import ALL, LAYOUTS, QUICK
from tests.benchmarks.step.tables import markdown

# A look at each limit; there is one after every shape.
_LIMIT_SECONDS = 0.1


def measured(
    shapes: Sequence[Shape],
    names: Sequence[str],
    *,
    rounds: int,
    seconds: float,
    keep: Callable[[dict[str, Any]], None],
) -> dict[str, Any]:
    """All that the tables need, as JSON; `keep` gets it after each shape."""
    crew = Crew()
    content: dict[str, Any] = {
        "machine": facts(), "rounds": rounds, "limits": machine_limits(), "shapes": [],
    }  # fmt: skip
    try:
        for shape in shapes:
            wanted = [name for name in names if shape.family in PROGRAMS[name].families]
            one = measure(shape, wanted, crew, rounds=rounds, seconds=seconds, say=_say)
            spec = spec_of(shape, precision="float32", arch=ARCHITECTURES[shape.family])
            content["shapes"].append(one | {"train_flops_per_token": train_flops_per_token(spec)})
            # The best of all looks is what the machine can do.
            again = machine_limits()
            content["limits"] = {n: max(v, again[n]) for n, v in content["limits"].items()}
            keep(content)
    finally:
        crew.close()
    return content


def machine_limits() -> dict[str, float]:
    """FLOPs per second of matrix products on one core, and bytes per second of memory."""
    torch.set_num_threads(1)
    sizes = {f"{SQUARE} x {SQUARE} x {SQUARE}": (SQUARE, SQUARE, SQUARE)}
    sizes |= {
        f"{tokens} x {d} x {4 * d}": (tokens, d, 4 * d) for d, (_, _, tokens) in LAYOUTS.items()
    }
    limits = {
        f"matmul {name}, {size}": matmul_flops_per_second(*shape, dtype, seconds=_LIMIT_SECONDS)
        for name, dtype in (("float32", torch.float32), ("bf16", torch.bfloat16))
        for size, shape in sizes.items()
    }
    return limits | {"copy_bytes_per_second": copy_bytes_per_second(seconds=_LIMIT_SECONDS)}


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two shapes, few rounds")
    parser.add_argument("--only", help=f"programs, with commas: {', '.join(PROGRAMS)}")
    parser.add_argument("--shapes", help="regular expression of names: 'bert', 'd=(32|64)$'")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float, default=0.4, help="of CPU per program and round")
    parser.add_argument("--json", type=Path, help="write what was measured")
    parser.add_argument("--markdown", action="store_true", help="print Markdown, as in docs")
    parser.add_argument("--write", type=Path, help="put the tables into this document")
    given = parser.parse_args()
    names = given.only.split(",") if given.only else list(PROGRAMS)
    if unknown := [name for name in names if name not in PROGRAMS]:
        parser.error(f"--only {unknown[0]} is unknown; known: {', '.join(PROGRAMS)}")
    pattern = re.compile(given.shapes or "")
    shapes = [shape for shape in (QUICK if given.quick else ALL) if pattern.search(shape.name)]
    if not shapes:
        parser.error(f"--shapes {given.shapes} names none of {', '.join(s.name for s in ALL)}")
    rounds = given.rounds or (3 if given.quick else 5)

    def keep(content: dict[str, Any]) -> None:
        if given.json:
            given.json.parent.mkdir(parents=True, exist_ok=True)
            given.json.write_text(json.dumps(content, indent=1) + "\n")

    content = measured(shapes, names, rounds=rounds, seconds=given.seconds, keep=keep)
    if given.write:
        put_section(given.write, "step", markdown(content))
    print(markdown(content))


if __name__ == "__main__":
    main()
