"""What `scaling bench` measures: the machine's limits, and real steps under each setting.

Settings are compared in rounds, each a process of its own, by CPU time; how many processes with how
many threads to use is a matter of tokens per second on the wall.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from scaling import machine
from scaling.bench.arm import Arm, Lap
from scaling.bench.cache import SCHEMA_VERSION
from scaling.bench.shape import Shape

# Widths, layers and heads of the size ladder, with steps as small as those of a small study.
WIDTHS = {32: (2, 2), 64: (3, 4), 128: (4, 4), 256: (4, 4)}
SEQ_LEN = 128
BATCH_TOKENS = 1024
BYTES, LARGE = 260, 4096
WARM_UP_STEPS = 3
ROUNDS = 3
SECONDS = 0.3


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """One way to run the same step.

    Attributes:
        function: a `scaling.bench.arm.Train`.
        without: variables of the launcher that this setting leaves out.
        beside: further variables.
        threads: of the process.
    """

    function: str
    without: tuple[str, ...] = ()
    beside: tuple[tuple[str, str], ...] = ()
    threads: int = 1


USUAL = "float32"
SETTINGS: dict[str, Setting] = {
    USUAL: Setting(function="scaling.bench.step:train_float32"),
    "without the allocator settings": Setting(
        function="scaling.bench.step:train_float32",
        without=tuple(machine.ALLOCATOR_ENVIRONMENT),
    ),
    "with huge pages": Setting(
        function="scaling.bench.step:train_float32",
        beside=(("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1"),),
    ),
    "bf16": Setting(function="scaling.bench.step:train_bf16"),
}


def settings_here() -> dict[str, Setting]:
    """Those that differ on this system: the allocator's switches are those of glibc."""
    tuned = bool(machine.ALLOCATOR_ENVIRONMENT.keys() & machine.training_environment(1, user={}))
    return {n: one for n, one in SETTINGS.items() if tuned or not (one.without or one.beside)}


def shape_of(d_model: int, vocab_size: int = BYTES) -> Shape:
    n_layer, n_head = WIDTHS[d_model]
    return Shape(
        family="gpt",
        vocab_size=vocab_size,
        d_model=d_model,
        n_layer=n_layer,
        n_head=n_head,
        seq_len=SEQ_LEN,
        batch_tokens=BATCH_TOKENS,
    )


def measure_machine(say: Callable[[str], None]) -> dict[str, Any]:
    """All of it, as JSON; `say` is told what comes next.

    Raises:
        ArmError: the suite's own step does not run here.
    """
    say("matrix products and memory")
    limits = measure_limits()
    say("steps by width and by setting")
    with _arms(settings_here()) as arms:
        widths = [
            measure_settings(shape_of(d), {USUAL: arms[USUAL]} if d != 64 else arms) for d in WIDTHS
        ]
        widths.append(measure_settings(shape_of(64, LARGE), arms))
    say("processes and threads")
    return {
        "schema_version": SCHEMA_VERSION,
        "machine": machine_key(),
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": machine.physical_cores(),
        "limits": limits,
        "widths": widths,
        "layouts": measure_layouts(machine.physical_cores()),
    }


def machine_key() -> str:
    """What a measurement depends on: the devices, the cores and the library."""
    import torch

    devices = torch.cuda.get_device_name() if machine.gpus() else machine.processor()
    return f"{devices}, {machine.physical_cores()} cores, torch {torch.__version__}"


def measure_limits() -> dict[str, Any]:
    """Matmul peaks of one core and of each GPU in FLOPs per second, and bytes per second."""
    import torch

    from scaling.bench.limits import (
        GPU_SQUARE,
        SQUARE,
        copy_bytes_per_second,
        matmul_flops_per_second,
    )

    types = {"float32": torch.float32, "bf16": torch.bfloat16}
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        core = {
            "matmul_flops_per_second": {
                name: matmul_flops_per_second(SQUARE, SQUARE, SQUARE, dtype)
                for name, dtype in types.items()
            },
            "copy_bytes_per_second": copy_bytes_per_second(),
        }
    finally:
        torch.set_num_threads(before)
    gpus = [
        {
            "name": torch.cuda.get_device_name(i),
            "matmul_flops_per_second": {
                name: matmul_flops_per_second(
                    GPU_SQUARE, GPU_SQUARE, GPU_SQUARE, dtype, device=f"cuda:{i}"
                )
                for name, dtype in types.items()
            },
            "copy_bytes_per_second": copy_bytes_per_second(device=f"cuda:{i}"),
        }
        for i in range(machine.gpus())
    ]
    return {"core": core, "gpus": gpus}


def measure_settings(shape: Shape, arms: dict[str, Arm]) -> dict[str, Any]:
    """Tokens per CPU-second of one shape under each setting, in rounds."""
    from scaling.accounting import train_flops_per_token
    from scaling.bench.subject import spec_of

    steps: dict[str, int] = {}
    laps: dict[str, list[Lap]] = {name: [] for name in arms}
    for name, arm in arms.items():
        arm.build(shape)
        steps[name] = steps_for(arm.run(WARM_UP_STEPS))
    for number in range(ROUNDS):
        for name in [*arms][number % len(arms) :] + [*arms][: number % len(arms)]:
            laps[name].append(arms[name].run(steps[name]))
    for arm in arms.values():
        arm.end_shape()
    return {
        "shape": shape.to_dict(),
        "train_flops_per_token": train_flops_per_token(spec_of(shape, precision="float32")),
        "tokens_per_cpu_second": {
            name: statistics.median(shape.batch_tokens * x.steps / x.cpu_seconds for x in of_arm)
            for name, of_arm in laps.items()
        },
    }


def measure_layouts(cores: int) -> list[dict[str, Any]]:
    """Tokens per second of all processes together, for each way to share out the cores."""
    found = []
    for threads in shares(cores):
        processes = cores // threads
        setting = Setting(function=SETTINGS[USUAL].function, threads=threads)
        with _arms({str(i): setting for i in range(processes)}) as arms:
            for d_model in (64, 256):
                shape = shape_of(d_model)
                speed = _together(shape, list(arms.values()))
                found.append(
                    {
                        "processes": processes,
                        "threads": threads,
                        "d_model": d_model,
                        "tokens_per_second": speed,
                    }
                )
    return found


def shares(cores: int) -> list[int]:
    """Threads per process worth a try: one, all, and a number in between on large machines."""
    return sorted({1, cores, *([round(cores**0.5)] if cores >= 8 else [])})


def _together(shape: Shape, arms: Sequence[Arm]) -> float:
    for arm in arms:
        arm.build(shape)
    steps = steps_for(arms[0].run(WARM_UP_STEPS))
    for arm in arms[1:]:
        arm.run(WARM_UP_STEPS)
    speeds = []
    for _ in range(ROUNDS):
        for arm in arms:
            arm.start(steps)
        # Each over its own time: the last steps of the slowest have the machine for themselves.
        laps = [arm.lap() for arm in arms]
        speeds.append(sum(shape.batch_tokens * lap.steps / lap.wall_seconds for lap in laps))
    for arm in arms:
        arm.end_shape()
    return statistics.median(speeds)


def steps_for(lap: Lap, seconds: float = SECONDS) -> int:
    """As many steps as take about `seconds` of CPU."""
    return max(1, round(seconds * lap.steps / max(lap.cpu_seconds, 1e-6)))


@contextmanager
def _arms(settings: dict[str, Setting]) -> Iterator[dict[str, Arm]]:
    """The processes of the settings; they start at the same time."""
    arms = {name: Arm(one.function, environment(one)) for name, one in settings.items()}
    try:
        yield arms
    finally:
        for arm in arms.values():
            arm.close()


def environment(setting: Setting) -> dict[str, str]:
    """What the launcher gives to a worker, whatever the user has set for this command."""
    wanted = machine.training_environment(setting.threads, user={})
    found = {name: value for name, value in os.environ.items() if name not in wanted}
    found |= {name: value for name, value in wanted.items() if name not in setting.without}
    return found | dict(setting.beside)
