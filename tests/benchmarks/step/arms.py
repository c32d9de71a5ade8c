"""The programs that are compared: what each runs, for which models, and in which environment."""

from __future__ import annotations

import importlib.util
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from scaling import machine
from scaling.install import install_command

# `make bench` puts it there, apart: it wants a huggingface_hub that transformers 5 cannot use.
LITGPT_FOLDER = Path(sys.prefix) / "bench-litgpt"


@dataclass(frozen=True, kw_only=True, slots=True)
class Program:
    """One row of the table.

    Attributes:
        function: `module:name` of a `scaling.bench.arm.Train`, under `tests.benchmarks.step`.
        launched: whether it gets the environment that the launcher gives to its workers; else it
            has one thread and otherwise what the user has.
        needs: the package that must be there.
        compiles: whether its first steps compile, which takes about a minute per shape.
    """

    label: str
    function: str
    families: tuple[str, ...] = ("gpt", "bert")
    launched: bool = False
    needs: str | None = None
    compiles: bool = False


REFERENCE = "plain"

PROGRAMS: dict[str, Program] = {
    REFERENCE: Program(
        label="plain loop, our model, eager float32", function="plain:train_float32"
    ),
    "plain-allocator": Program(
        label="the same with our allocator settings", function="plain:train_float32", launched=True
    ),
    "nanogpt": Program(
        label="nanoGPT-style loop, float32", function="nanogpt:train_float32", families=("gpt",)
    ),
    "nanogpt-bf16": Program(
        label="nanoGPT-style loop, bf16 autocast",
        function="nanogpt:train_bf16",
        families=("gpt",),
    ),
    "transformers": Program(
        label="transformers, plain loop",
        function="transformers_models:train_in_loop",
        needs="transformers",
    ),
    "transformers-trainer": Program(
        label="transformers in its Trainer",
        function="transformers_models:train_in_trainer",
        needs="transformers",
    ),
    "litgpt": Program(
        label="LitGPT, plain loop",
        function="litgpt_model:train_float32",
        families=("gpt",),
        needs="litgpt",
    ),
    "x-transformers": Program(
        label="x-transformers, plain loop",
        function="x_transformers_model:train_float32",
        families=("gpt",),
        needs="x_transformers",
    ),
    "bare": Program(
        label="our step in a bare loop, float32", function="bare:train_float32", launched=True
    ),
    "scaling": Program(
        label="**this suite, float32**", function="ours:train_float32", launched=True
    ),
    "scaling-bf16": Program(
        label="**this suite, bf16**", function="ours:train_bf16", launched=True
    ),
    "scaling-compiled": Program(
        label="**this suite, float32, compiled**",
        function="ours:train_float32_compiled",
        launched=True,
        compiles=True,
    ),
    "scaling-bf16-compiled": Program(
        label="**this suite, bf16, compiled**",
        function="ours:train_bf16_compiled",
        launched=True,
        compiles=True,
    ),
}


def environment(program: Program) -> dict[str, str]:
    """All variables of the program's process; one thread each."""
    ours = machine.training_environment(1)
    found = {name: value for name, value in os.environ.items() if name not in ours}
    found |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    if program.launched:
        found |= ours
    folders = [str(Path(__file__).parents[3]), os.environ.get("PYTHONPATH", "")]
    if program.needs == "litgpt":
        folders.append(str(LITGPT_FOLDER))
    return found | {"PYTHONPATH": os.pathsep.join(filter(None, folders))}


def missing(program: Program) -> str | None:
    """What to do for a program whose package is not there; None where it is."""
    if program.compiles and (trouble := machine.compiler_trouble()):
        return trouble
    if program.needs is None:
        return None
    if program.needs == "litgpt":
        if (LITGPT_FOLDER / "litgpt").is_dir():
            return None
        return "not installed: `make bench` does it"
    if importlib.util.find_spec(program.needs) is not None:
        return None
    return f"not installed: {install_command('bench')}"
