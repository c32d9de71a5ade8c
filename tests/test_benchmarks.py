"""The benchmarks measure what they say: real programs on a tiny model, and right ratios."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scaling.bench.arm import Arm, ArmError
from scaling.bench.shape import Shape
from tests.benchmarks.document import put_section, section
from tests.benchmarks.ratios import rotated, speed_ratio
from tests.benchmarks.step.arms import PROGRAMS, environment, missing
from tests.benchmarks.step.measure import Crew, measure
from tests.benchmarks.step.tables import markdown
from tests.benchmarks.sweep.spent import run_all

TINY = Shape(
    family="gpt", vocab_size=260, d_model=16, n_layer=1, n_head=2, seq_len=16, batch_tokens=32
)
# 1 layer: attention 4 x 16^2 + 4 x 16, feed-forward 8 x 16^2 + 5 x 16, two norms; embeddings of
# 260 tokens and 16 positions; the last norm.
TINY_PARAMS = 12 * 16**2 + 9 * 16 + 4 * 16 + (260 + 16) * 16 + 2 * 16


def tiny(family: str) -> Shape:
    return Shape(**TINY.to_dict() | {"family": family})


def test_a_ratio_is_taken_within_each_round() -> None:
    # The machine was three times slower in the second round, for both.
    ratio = speed_ratio([1.0, 3.0, 1.0], [2.0, 6.0, 2.5])
    assert (ratio.median, ratio.least, ratio.most) == (2.0, 2.0, 2.5)
    assert str(ratio) == "2.00 (2.00-2.50)"


@pytest.mark.parametrize(
    ("seconds", "reference"),
    [([], []), ([1.0], [1.0, 2.0]), ([0.0], [1.0]), ([1.0], [float("nan")])],
)
def test_a_ratio_of_what_was_not_measured_is_refused(
    seconds: list[float], reference: list[float]
) -> None:
    with pytest.raises(ValueError, match=r"rounds|not positive"):
        speed_ratio(seconds, reference)


def test_each_program_has_each_place_in_the_order_once() -> None:
    names = ["a", "b", "c"]
    orders = [rotated(names, number) for number in range(3)]
    assert [sorted(order) for order in orders] == [names] * 3
    assert {tuple(place) for place in map(sorted, zip(*orders, strict=True))} == {tuple(names)}


def test_our_real_step_runs_as_often_as_asked_and_stops() -> None:
    arm = Arm("tests.benchmarks.step.ours:train_float32", environment(PROGRAMS["scaling"]))
    try:
        for family in ("gpt", "bert"):  # one process, both shapes
            assert arm.build(tiny(family))["params"] >= TINY_PARAMS
            laps = [arm.run(steps) for steps in (2, 3)]
            assert [lap.steps for lap in laps] == [2, 3]
            assert all(lap.cpu_seconds > 0 for lap in laps)
            arm.end_shape()
    finally:
        arm.close()


def test_an_arm_that_breaks_says_why() -> None:
    arm = Arm("tests.benchmarks.step.ours:train_float32", environment(PROGRAMS["scaling"]))
    try:
        with pytest.raises(ArmError, match="n_head=3"):
            arm.build(Shape(**TINY.to_dict() | {"n_head": 3}))
        assert arm.build(TINY)["params"] == TINY_PARAMS, "the process serves the next shape"
    finally:
        arm.close()


@pytest.mark.slow
def test_all_programs_train_the_same_model() -> None:
    crew = Crew()
    try:
        for family in ("gpt", "bert"):
            # Compiled steps have tests of their own, and take a minute per shape.
            names = [n for n, p in PROGRAMS.items() if family in p.families and not p.compiles]
            found = measure(tiny(family), names, crew, rounds=1, seconds=0.0, say=print)
            absent = {name for name in names if missing(PROGRAMS[name])}
            assert found["not_measured"].keys() == absent
            assert found["cpu_seconds_per_token"].keys() == set(names) - absent
            counts = found["params"]
            for name, params in counts.items():
                assert params == pytest.approx(counts["plain"], rel=0.06), name
            content = {
                "machine": {"processor": "p", "cores": 1, "memory_gib": 1, "system": "s",
                            "bf16_in_hardware": True, "python": "3", "measured_at": "2026-01-01",
                            "versions": {}},
                "limits": {"matmul float32, 1024 x 1024 x 1024": 1e11,
                           "copy_bytes_per_second": 1e9},
                "shapes": [found | {"train_flops_per_token": 1e5}],
            }  # fmt: skip
            text = markdown(content)
            assert all(PROGRAMS[name].label in text for name in counts)
            assert json.loads(json.dumps(content)) == content
    finally:
        crew.close()


def test_launched_programs_alone_get_the_launchers_allocator() -> None:
    switch = "MALLOC_TRIM_THRESHOLD_"
    if switch in os.environ:
        pytest.skip(f"the user has set {switch}")
    assert switch not in environment(PROGRAMS["plain"])
    assert all(environment(program)["OMP_NUM_THREADS"] == "1" for program in PROGRAMS.values())


def test_the_time_of_processes_that_outlive_their_parent_counts() -> None:
    burn = "import time\nwhile time.process_time() < 0.3: pass"
    orphan = f"import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', {burn!r}])"
    measured = "\n".join(
        [
            "import os, sys",
            "from tests.benchmarks.sweep.spent import run_all",
            f"spent = run_all([[sys.executable, '-c', {orphan!r}]], at_a_time=1, env=os.environ)",
            "assert spent.cpu_seconds > 0.3, spent",
        ]
    )
    # In a process of its own: this one would take in the children of other tests.
    root = Path(__file__).parents[1]
    subprocess.run([sys.executable, "-c", measured], check=True, cwd=root, timeout=60)
    assert run_all.__module__ == "tests.benchmarks.sweep.spent"


def test_the_table_in_the_documents_is_that_of_the_committed_measurement() -> None:
    folder = Path(__file__).parents[1] / "docs"
    content = json.loads((folder / "performance" / "step.json").read_text())
    assert section(folder / "performance.md", "step") == markdown(content)


def test_a_section_of_a_document_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text("before\n<!-- step: begin, made by x -->\nold\n<!-- step: end -->\nafter\n")
    put_section(path, "step", "new \\1\n")
    assert section(path, "step") == "new \\1\n"
    put_section(path, "step", "newer")
    assert path.read_text() == (
        "before\n<!-- step: begin, made by x -->\n\nnewer\n\n<!-- step: end -->\nafter\n"
    )
    with pytest.raises(ValueError, match="sweep: begin"):
        put_section(path, "sweep", "x")
