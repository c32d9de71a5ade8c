"""Compiled steps: which runs have them, and which parts of a step are compiled.

Two regions are compiled, each once for a shape: the block, whose code all layers share, and the
head with its loss. The machine code is kept on disk for later processes. Evaluation, whose shapes
differ, and generation take the same modules as they are.

Which runs are compiled follows from the sweep and the switch alone, never from a clock or from what
lies in the cache: rounding differs, and a run that was killed has to end like one that was not.
"""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from scaling import machine

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    from scaling.models import LanguageModel
    from scaling.spec import Precision, RunSpec

# The user's switch, and what it comes to for one run.
CompileSwitch = Literal["auto", "on", "off"]
Compile = Literal["off", "wanted", "required"]

# Training FLOPs of a shape, over a sweep, from which `auto` compiles it: about twice those at which
# it pays, given a minute of compiling and a fifth of the steps saved. In float32 it never does:
# there compiled regions were level with the modules as they are, or slower (docs/performance.md).
AUTO_FLOPS: dict[Precision, float] = {"bf16": 5e13}

# What compiled code depends on: of two runs that agree in these, one pays for both.
_SHAPE = (
    "arch", "objective", "precision", "attention", "position_bias", "vocab_size",
    "d_model", "n_head", "d_ff", "seq_len", "batch_tokens", "mask_rate", "target_share",
)  # fmt: skip


class CompileError(ValueError):
    """Compiled steps were asked for and cannot be had; the message says what to do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Regions:
    """The compiled parts of one model's step.

    Attributes:
        block: as `run_block`.
        nats: as `objectives.objective.summed_nats`.
        n_targets: positions for which `nats` is compiled; others take it as it is.
    """

    block: Callable[[Module, Tensor, Tensor | None], Tensor]
    nats: Callable[..., Tensor]
    n_targets: int


def choose(switch: CompileSwitch, trained: Iterable[tuple[RunSpec, float]]) -> dict[str, Compile]:
    """What the switch comes to for each run of a sweep.

    Args:
        trained: each run with the FLOPs that the sweep spends on it, done or not.
    Returns:
        run id -> choice; the same for all horizons of a trunk, which have one shape.
    """
    runs = list(trained)
    if switch != "auto":
        fixed: Compile = "required" if switch == "on" else "off"
        return {spec.run_id: fixed for spec, _ in runs}
    flops: Counter[tuple[object, ...]] = Counter()
    for spec, own_flops in runs:
        flops[_shape(spec)] += own_flops  # type: ignore[assignment]
    return {
        spec.run_id: "wanted"
        if flops[_shape(spec)] >= AUTO_FLOPS.get(spec.precision, inf)
        else "off"
        for spec, _ in runs
    }


def check_switch(switch: CompileSwitch, *, devices: int, is_here: bool) -> None:
    """Raises CompileError where `on` asks for what cannot be had.

    Args:
        is_here: whether the runs are trained on this machine, which is then looked at.
    """
    if switch != "on":
        return
    if devices > 1:
        raise CompileError(
            f"--compile on takes --devices 1, not {devices}: a step that devices share is not "
            "compiled; take --compile auto"
        )
    if is_here and (trouble := machine.compiler_trouble()):
        raise CompileError(f"--compile on: {trouble}; or take --compile auto")


def is_compiled(choice: Compile, *, devices: int, say: Callable[[str], None] = print) -> bool:
    """Whether a run is compiled in this process; where it should be and cannot, one line says so.

    Raises:
        CompileError: it has to be.
    """
    if choice == "off" or devices > 1:
        return False
    trouble = machine.compiler_trouble()
    if trouble is None:
        return not (choice == "wanted" and machine.gpus())  # on GPUs its gain is not measured yet
    if choice == "required":
        raise CompileError(f"compiled steps were asked for: {trouble}; or take --compile auto")
    say(f"{trouble}; until then steps are not compiled, which costs up to a third of their speed")
    return False


def notes(choices: Sequence[Compile], *, is_here: bool) -> list[str]:
    """What a launch says about them."""
    n_compiled = sum(choice != "off" for choice in choices)
    if not n_compiled or (is_here and machine.gpus() and "required" not in choices):
        return []
    lines: list[str] = []
    if is_here and not is_compiled("wanted", devices=1, say=lines.append):
        return lines
    return [
        f"{n_compiled} of {len(choices)} runs train compiled steps; the first run of each shape "
        "compiles them for about a minute (--compile off trains all as they are)"
    ]


def run_block(block: Module, x_BTE: Tensor, bias_BHTT: Tensor | None) -> Tensor:
    """One layer of a model."""
    hidden_BTE: Tensor = block(x_BTE, bias_BHTT)
    return hidden_BTE


def compile_regions(model: LanguageModel, *, n_targets: int) -> None:
    """Has the training steps of `model` run compiled code, made at the first of them.

    Args:
        n_targets: positions on which a step computes the head at a time.
    """
    import torch

    from scaling.objectives.objective import summed_nats

    with quiet():
        _use_cache()
        model.regions = Regions(
            block=torch.compile(run_block, fullgraph=True, dynamic=False),
            nats=torch.compile(summed_nats, fullgraph=True, dynamic=False),
            n_targets=n_targets,
        )


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps torch's compiler from warning of its own ways."""
    with warnings.catch_warnings():
        # It looks whether inner tensors have gradients, and is built on a module that is to go.
        warnings.filterwarnings("ignore", "The .grad attribute of a Tensor that is not a leaf")
        warnings.filterwarnings("ignore", ".*torch.jit.script_method", DeprecationWarning)
        yield


def cache_folder() -> Path:
    """Where compiled code is kept: with the user, not in the store, since it is executed."""
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(home, "scaling-suite", "compiled").expanduser()


def _use_cache() -> None:
    """Has torch keep its code in `cache_folder`, and compile in this process alone."""
    from torch._inductor.runtime.cache_dir_utils import default_cache_dir

    # Importing torch's compiler sets this, to a folder in /tmp that anybody may have made first.
    if os.environ.get("TORCHINDUCTOR_CACHE_DIR", default_cache_dir()) == default_cache_dir():
        folder = cache_folder()
        with suppress(OSError):  # then torch takes a temporary folder
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder)
    import torch._inductor.config as inductor

    # A pool of compilers would outlive the cell, off the cores that it was given.
    inductor.compile_threads = 1


def _shape(spec: RunSpec) -> tuple[object, ...]:
    return tuple(getattr(spec, name) for name in _SHAPE)
