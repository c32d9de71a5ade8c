"""The step benchmark as Markdown: a table for each vocabulary and family, targets, efficiency."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from scaling.bench.shape import Shape
from tests.benchmarks.machine_facts import in_one_sentence
from tests.benchmarks.ratios import speed_ratio
from tests.benchmarks.step.arms import PROGRAMS, REFERENCE
from tests.benchmarks.step.targets import OURS, TARGETS, best_of_ours

NONE = "–"
LIGHTNING_SHARE = 0.03
EFFICIENCY_AT_LEAST = {128: 0.45, 256: 0.60, 512: 0.60}


def markdown(content: dict[str, Any]) -> str:
    """The whole section, from what `bench_step` wrote as JSON."""
    groups: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for found in content["shapes"]:
        shape = Shape(**found["shape"])
        groups.setdefault((shape.family, shape.vocab_size), []).append(found)
    parts = [in_one_sentence(content["machine"]), _limits(content["limits"])]
    for (family, vocab_size), members in groups.items():
        title = {"gpt": "GPT", "bert": "BERT (masked language model)"}[family]
        parts.append(f"**{title}, vocabulary {vocab_size}**\n\n{_speeds(members)}")
    parts.append(f"**Targets**\n\n{_targets(content['shapes'])}")
    parts.append(f"**Share of the matmul peak**\n\n{_efficiency(content)}")
    return "\n\n".join(parts) + "\n"


def _speeds(members: Sequence[dict[str, Any]]) -> str:
    widths = [found["shape"]["d_model"] for found in members]
    rows = [["CPU time, as speed", *(f"d_model {d}" for d in widths)]]
    rows.append(["parameters", *(_params(found) for found in members)])
    for name, program in PROGRAMS.items():
        cells = [_speed(found, name) for found in members]
        if any(cell != NONE for cell in cells):
            rows.append([program.label, *cells])
    rows.append(
        ["plain loop, µs of CPU a token", *(f"{1e6 * _plain(found):.1f}" for found in members)]
    )
    return table(rows)


def _speed(found: dict[str, Any], name: str) -> str:
    times = found["cpu_seconds_per_token"]
    if name in found["not_measured"]:
        return str(found["not_measured"][name])
    if name not in times or REFERENCE not in times:
        return NONE
    if name == REFERENCE:
        return "1"
    return str(speed_ratio(times[name], times[REFERENCE]))


def _plain(found: dict[str, Any]) -> float:
    return min(found["cpu_seconds_per_token"].get(REFERENCE, [float("nan")]))


def _params(found: dict[str, Any]) -> str:
    counts = found["params"].values()
    return f"{min(counts):,}" if len(set(counts)) == 1 else f"{min(counts):,} to {max(counts):,}"


def _targets(shapes: Sequence[dict[str, Any]]) -> str:
    rows = [["against", "shape", "target", "measured", "reached"]]
    for target in TARGETS:
        for d_model, least in target.at_least.items():
            for found in shapes:
                shape = Shape(**found["shape"])
                times = found["cpu_seconds_per_token"]
                if (shape.family, shape.vocab_size, shape.d_model) != (
                    target.family, target.vocab_size, d_model,
                ) or target.peer not in times:  # fmt: skip
                    continue
                name, ratio = best_of_ours(times, target.peer)
                said = PROGRAMS[name].label.strip("*").removeprefix("this suite, ")
                reached = "yes" if ratio.median >= least else "no"
                peer = PROGRAMS[target.peer].label
                rows.append([peer, shape.name, f"{least:g}", f"{ratio}, {said}", reached])
    return table([*rows, *_lightning(shapes)])


def _lightning(shapes: Sequence[dict[str, Any]]) -> list[list[str]]:
    rows = []
    for found in shapes:
        shape, times = Shape(**found["shape"]), found["cpu_seconds_per_token"]
        if shape.family == "gpt" and shape.d_model == 32 and {"bare", "scaling"} <= times.keys():
            share = 1 / speed_ratio(times["scaling"], times["bare"]).median - 1
            reached = "yes" if share <= LIGHTNING_SHARE else "no"
            bound = f"at most {LIGHTNING_SHARE:.0%} more"
            rows.append(
                ["the same step in a bare loop", shape.name, bound, f"{share:+.1%}", reached]
            )
    return rows


def _limits(limits: dict[str, float]) -> str:
    rows = [["one core", "measured"]]
    rows += [
        [name, f"{value / 1e9:.0f} GFLOP/s"] for name, value in limits.items() if "copy" not in name
    ]
    rows.append(["memory, triad", f"{limits['copy_bytes_per_second'] / 1e9:.1f} GB/s"])
    return table(rows)


def _efficiency(content: dict[str, Any]) -> str:
    """Training FLOPs by `scaling.accounting` per CPU-second, over the float32 matmul peak."""
    peak = content["limits"]["matmul float32, 1024 x 1024 x 1024"]
    ours = [n for n in OURS if any(n in s["cpu_seconds_per_token"] for s in content["shapes"])]
    rows = [["shape", *(PROGRAMS[name].label for name in ours), "target"]]
    for found in content["shapes"]:
        times, flops = found["cpu_seconds_per_token"], found["train_flops_per_token"]
        cells = [
            f"{flops / sorted(times[name])[len(times[name]) // 2] / peak:.0%}"
            if name in times else NONE
            for name in ours
        ]  # fmt: skip
        shape = Shape(**found["shape"])
        least = EFFICIENCY_AT_LEAST.get(shape.d_model)
        rows.append([shape.name, *cells, f"{least:.0%}" if least else NONE])
    return table(rows)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows as a Markdown table, the first one its head."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "|" + "---|" * len(rows[0]))
    return "\n".join(lines)
