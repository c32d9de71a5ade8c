"""What a machine needs for training, and whether it has it: one function per question."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from scaling.checks.check import Check, Verdict
from scaling.checks.hardware import (
    check_allocator,
    check_bf16,
    check_compiler,
    check_cores_and_memory,
    check_devices,
)
from scaling.checks.install import check_extras, check_libraries, check_python
from scaling.checks.store import check_corpus, check_store
from scaling.checks.tracking import check_wandb
from scaling.install import install_command

__all__ = ["CHECKS", "Check", "Verdict", "run_checks"]

# Each takes the root of the store; most have no use for it.
CHECKS: dict[str, Callable[[Path], list[Check]]] = {
    "python": lambda root: check_python(),
    "libraries": lambda root: check_libraries(),
    "extras": lambda root: check_extras(),
    "devices": lambda root: check_devices(),
    "bf16": lambda root: check_bf16(),
    "compiler": lambda root: check_compiler(),
    "cores and memory": lambda root: check_cores_and_memory(),
    "allocator": lambda root: check_allocator(),
    "store": check_store,
    "W&B": lambda root: check_wandb(),
    "corpus": lambda root: check_corpus(),
}


def run_checks(root: Path) -> list[Check]:
    """All answers; a check that breaks is itself a finding."""
    answers: list[Check] = []
    for name, check in CHECKS.items():
        try:
            answers += check(root)
        except Exception as error:
            trouble = f"{type(error).__name__}: {' '.join(str(error).split())}"
            remedy = f"repair the installation: {install_command()} --force-reinstall"
            answers.append(Check(name=name, verdict="failed", found=trouble, remedy=remedy))
    return answers
