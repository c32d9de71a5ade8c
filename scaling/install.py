"""How to install what only some commands need, as a command for the Python that runs."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

SUITE = "scaling-suite"


def install_command(extra: str = "") -> str:
    """Installs the suite with one of its extras: from the checkout it runs from, else by name.

    >>> install_command("hub")
    ".venv/bin/python -m pip install -c constraints.txt -e '.[hub]'"
    """
    python = _near(Path(sys.executable))
    checkout = Path(__file__).parents[1]
    wanted = f"[{extra}]" if extra else ""
    if not is_checkout(checkout):
        return shlex.join([python, "-m", "pip", "install", f"{SUITE}{wanted}"])
    pinned = _near(checkout / "constraints.txt")
    source = f"{_near(checkout)}{wanted}"
    return shlex.join([python, "-m", "pip", "install", "-c", pinned, "-e", source])


def is_checkout(folder: Path) -> bool:
    try:
        return f'name = "{SUITE}"' in (folder / "pyproject.toml").read_text(encoding="utf-8")
    except FileNotFoundError:
        return False


def _near(path: Path) -> str:
    """From here, where that is no longer way."""
    here = Path.cwd()
    return os.path.relpath(path, here) if path.is_relative_to(here) else str(path)
