"""What a result was made with: the device, the versions of the libraries, the commit."""

from __future__ import annotations

import platform
import subprocess
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from scaling import machine


def now() -> str:
    """ISO 8601, in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def device_name(device: torch.device | None) -> str:
    if device is None:
        return "unknown: the run ended before it had one"
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {torch.get_num_threads()} threads, {machine.processor()}"


@lru_cache
def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in ("scaling-suite", "torch", "pytorch-lightning", "numpy", "tokenizers"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


@lru_cache
def git_commit() -> str | None:
    """The commit of the suite's own repository; None where it is installed elsewhere."""
    package = Path(__file__).resolve().parent
    try:
        result = subprocess.run(
            ["git", "rev-parse", "--show-toplevel", "HEAD"],
            cwd=package,
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    top, _, commit = result.stdout.strip().partition("\n")
    # Installed into another project, the package lies in that project's repository.
    return commit if commit and Path(top) == package.parent else None
