"""What this machine offers to training: processors, native bf16, and the allocator's switches."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sysconfig
from collections.abc import Mapping
from functools import cache
from pathlib import Path

# glibc hands large blocks back to the system at every step and pays their page faults again;
# told to keep them, small models with a large vocabulary train twice as fast.
ALLOCATOR_ENVIRONMENT = {
    "MALLOC_MMAP_THRESHOLD_": "1073741824",
    "MALLOC_TRIM_THRESHOLD_": "8589934592",
}

_BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})


def training_environment(threads: int, user: Mapping[str, str] | None = None) -> dict[str, str]:
    """Variables that a training process needs before it starts; the user's own come first.

    Args:
        user: the variables that are there already; None for those of this process.
    """
    wanted = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    # Its threads would not survive the fork, and it would warn of that.
    wanted["TOKENIZERS_PARALLELISM"] = "false"
    if platform.system() == "Linux" and platform.libc_ver()[0] == "glibc":
        wanted |= ALLOCATOR_ENVIRONMENT
    taken = os.environ if user is None else user
    return {name: value for name, value in wanted.items() if name not in taken}


def chosen_threads() -> int | None:
    """The user's own number of threads per process."""
    threads = os.environ.get("OMP_NUM_THREADS", "")
    return int(threads) if threads.isdecimal() and int(threads) else None


def usable_cores() -> list[int]:
    """Numbers of the logical processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def physical_cores() -> int:
    """How many cores this process may keep busy: siblings of one core count once."""
    import psutil

    usable = len(usable_cores())
    logical, physical = psutil.cpu_count() or 1, psutil.cpu_count(logical=False) or 1
    return max(1, min(usable, round(usable * physical / logical), _cgroup_cores()))


def gpus() -> int:
    import torch

    return torch.cuda.device_count()


def gpu_bytes() -> list[int]:
    """The memory of each GPU."""
    import torch

    return [torch.cuda.get_device_properties(i).total_memory for i in range(gpus())]


def gpu_free_bytes() -> list[int] | None:
    """What is free on each GPU, asked of its driver so that no context is made in this process.

    None where the driver's tool is missing or does not know the GPUs by the names that torch does.
    """
    import torch

    command = ["nvidia-smi", "--query-gpu=uuid,memory.free", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
        rows = [line.rpartition(",") for line in answer.stdout.splitlines() if line]
        free = {name.strip().removeprefix("GPU-"): int(size) << 20 for name, _, size in rows}
        names = [str(torch.cuda.get_device_properties(i).uuid) for i in range(gpus())]
        return [free[name.removeprefix("GPU-")] for name in names]
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, AttributeError):
        return None


def free_memory_bytes() -> int:
    """Memory that this process and its children may still take, in a container or outside."""
    import psutil

    return int(min(psutil.virtual_memory().available, _cgroup_memory_bytes()))


def private_bytes(pid: int | str = "self") -> int:
    """Memory of a process that is no file's, that of its parent before the fork included.

    0 where the kernel does not say.
    """
    try:
        resident, shared = Path(f"/proc/{pid}/statm").read_text().split()[1:3]
    except OSError:
        return 0
    return (int(resident) - int(shared)) * os.sysconf("SC_PAGE_SIZE")


@cache
def native_bf16() -> bool:
    """Whether the device that would train multiplies bf16 in hardware."""
    if gpus():
        import torch

        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(_BF16_FLAGS & _processor_flags())


def find_compiler() -> tuple[str, str | None]:
    """What torch.compile would build kernels for the CPU with, and what is amiss with it.

    Returns:
        its command, or why it does not work; the remedy, None where it works.
    """
    compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        return "none", "torch.compile needs g++: apt install g++, or module load gcc"
    include = sysconfig.get_path("include")
    tried = subprocess.run(
        [*compiler.split(), "-x", "c++", "-fsyntax-only", f"-I{include}", "-"],
        input="#include <Python.h>\n",
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    if tried.returncode == 0:
        return compiler, None
    lines = tried.stderr.splitlines() or ["it fails without a word"]
    found = f"{compiler}: {next((line for line in lines if 'error' in line), lines[0])}"
    return found, "torch.compile needs the headers of Python: apt install python3-dev"


@cache
def compiler_trouble() -> str | None:
    """One line on why nothing can be compiled for the CPU here, with the remedy; None if it can."""
    try:
        found, remedy = find_compiler()
    except (OSError, subprocess.SubprocessError) as error:
        found, remedy = f"{error}", "set CXX to a C++ compiler that works"
    return None if remedy is None else f"no C++ compiler works here ({found}); {remedy}"


@cache
def processor() -> str:
    """The model of the processor, for people and as a key of measurements."""
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def _processor_flags() -> frozenset[str]:
    return frozenset((_cpuinfo("flags") or _cpuinfo("Features") or "").split())


def _cpuinfo(key: str) -> str | None:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), None)


def _cgroup_cores() -> int:
    """The share of the machine that a container was given."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, int(quota) // int(period))
    except (OSError, ValueError):
        return 1 << 20


def _cgroup_memory_bytes() -> int:
    """What a container may still take; unlimited outside one."""
    group = Path("/sys/fs/cgroup")
    try:
        limit = int((group / "memory.max").read_text())
        used = int((group / "memory.current").read_text())
        # Pages of files are counted as used, and given up when memory is short.
        facts = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        return limit - used + int(facts.get("inactive_file", 0))
    except (OSError, ValueError):
        return 1 << 62
