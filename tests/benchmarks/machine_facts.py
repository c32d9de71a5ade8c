"""Which machine, when, and with which versions a table was measured."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

import psutil

from scaling import machine

PACKAGES = ("torch", "pytorch-lightning", "transformers", "x-transformers", "numpy")


def facts() -> dict[str, object]:
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "processor": machine.processor(),
        "bf16_in_hardware": machine.native_bf16(),
        "cores": machine.physical_cores(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.libc_ver()[0]} {platform.libc_ver()[1]}",
        "python": platform.python_version(),
        "measured_at": datetime.now(UTC).isoformat(timespec="minutes"),
        "versions": versions,
    }


def in_one_sentence(found: dict[str, object]) -> str:
    versions = found["versions"]
    assert isinstance(versions, dict), "as `facts` makes it"
    named = ", ".join(f"{name} {number}" for name, number in versions.items())
    bf16 = "with" if found["bf16_in_hardware"] else "without"
    return (
        f"{found['processor']}, {found['cores']} cores, {found['memory_gib']} GiB, {bf16} bf16 in "
        f"hardware, {found['system']}, Python {found['python']}, {named}; measured "
        f"{str(found['measured_at'])[:10]}."
    )
