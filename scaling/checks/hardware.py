"""Devices, processors, memory, and what makes training fast on them."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from scaling import machine
from scaling.checks.check import Check, Verdict

_LITTLE_MEMORY_BYTES = 2 << 30
# Earlier ones do not know the switch for huge pages.
_GLIBC = (2, 35)


def check_devices() -> list[Check]:
    import torch

    if torch.cuda.is_available():
        gpus = map(torch.cuda.get_device_properties, range(torch.cuda.device_count()))
        found = [f"cuda:{i} {gpu.name}, {_gib(gpu.total_memory)}" for i, gpu in enumerate(gpus)]
        return [Check(name="devices", verdict="ok", found="; ".join(found))]
    if Path("/dev/nvidia0").exists():
        found_gpu = f"an NVIDIA GPU that torch {torch.__version__} cannot use"
        remedy = "install a CUDA build of torch that the driver supports"
        return [Check(name="devices", verdict="warning", found=found_gpu, remedy=remedy)]
    kinds = "mps, cpu" if torch.backends.mps.is_available() else "cpu"
    return [Check(name="devices", verdict="ok", found=f"{kinds}: {machine.processor()}")]


def check_bf16() -> list[Check]:
    if machine.native_bf16():
        return [Check(name="bf16", verdict="ok", found="native")]
    found = "not in hardware, so bf16 runs are slower here than float32 ones"
    remedy = "set precision: float32 in the sweep"
    return [Check(name="bf16", verdict="optional", found=found, remedy=remedy)]


def check_compiler() -> list[Check]:
    """torch.compile builds kernels for the CPU with a C++ compiler and the headers of Python."""
    found, remedy = machine.find_compiler()
    verdict: Verdict = "ok" if remedy is None else "optional"
    return [Check(name="compiler", verdict=verdict, found=found, remedy=remedy)]


def check_cores_and_memory() -> list[Check]:
    import psutil

    cores, usable = machine.physical_cores(), len(machine.usable_cores())
    memory = psutil.virtual_memory()
    free = machine.free_memory_bytes()
    found = f"{_gib(free)} free of {_gib(memory.total)}"
    answers = [Check(name="cores", verdict="ok", found=f"{cores} ({usable} logical)")]
    if free < _LITTLE_MEMORY_BYTES:
        remedy = "end other programs, or run fewer cells at a time with --workers"
        answers.append(Check(name="memory", verdict="warning", found=found, remedy=remedy))
    else:
        answers.append(Check(name="memory", verdict="ok", found=found))
    return answers


def check_allocator() -> list[Check]:
    """Whether the variables of `machine.ALLOCATOR_ENVIRONMENT` have an effect here."""
    library, number = platform.libc_ver()
    found = f"{library or 'C library'} {number or 'of unknown version'}"
    preloaded = os.environ.get("LD_PRELOAD", "")
    if any(name in preloaded for name in ("jemalloc", "tcmalloc", "mimalloc")):
        found, remedy = f"{preloaded} by LD_PRELOAD", "unset it, unless it is faster for you"
    elif library != "glibc":
        remedy = "none; with glibc small models with a large vocabulary train faster"
    elif tuple(int(part) for part in number.split(".")[:2]) < _GLIBC:
        remedy = "glibc 2.35 or newer also uses huge pages"
    else:
        return [Check(name="allocator", verdict="ok", found=f"{found}, tuned at launch")]
    return [Check(name="allocator", verdict="optional", found=found, remedy=remedy)]


def _gib(n_bytes: float) -> str:
    return f"{n_bytes / 2**30:.1f} GiB"
