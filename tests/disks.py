"""Small disks of their own for tests of full and read-only ones, where this user may mount."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True)


@contextlib.contextmanager
def disk_of(folder: Path, *, kibibytes: int) -> Iterator[Path]:
    """A file system in memory; skips the test, with the reason, where none may be mounted."""
    folder.mkdir(exist_ok=True)
    try:
        _mount("-t", "tmpfs", "-o", f"size={kibibytes}k", "tmpfs", str(folder))
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this user has no right to mount a file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def resize(folder: Path, *, kibibytes: int) -> None:
    _mount("-o", f"remount,size={kibibytes}k", str(folder))


def make_read_only(folder: Path) -> None:
    """Also for the administrator, whom permissions do not stop."""
    _mount("-o", "remount,ro", str(folder))


def make_writable(folder: Path) -> None:
    _mount("-o", "remount,rw", str(folder))
