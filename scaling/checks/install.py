"""Is what is installed in the ranges that the suite declares?"""

from __future__ import annotations

import platform
import tomllib
from collections.abc import Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, TypeAlias

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from scaling.checks.check import Check
from scaling.install import SUITE, install_command

# The range of Python, and by extra the libraries; None stands for what is always needed.
Declared: TypeAlias = tuple[SpecifierSet, dict[str | None, list[Requirement]]]

# library -> what needs it
_USES = {
    "datasets": "corpus hub:NAME",
    "transformers": "scaling export",
    "ray": "engine ray",
    "submitit": "engine slurm",
}
_SHOWN = ("torch", "pytorch-lightning", "wandb")


def check_python() -> list[Check]:
    found, wanted = platform.python_version(), _declared()[0]
    if wanted.contains(found, prereleases=True):
        return [Check(name="python", verdict="ok", found=found)]
    remedy = f"make an environment with Python {wanted}"
    return [Check(name="python", verdict="failed", found=found, remedy=remedy)]


def check_libraries() -> list[Check]:
    """One answer where all fit, else one per library that does not."""
    required = _declared()[1][None]
    wrong = [
        Check(
            name=wanted.name,
            verdict="failed",
            found=f"{_version(wanted.name) or 'not installed'}, needed is {wanted.specifier}",
            remedy=f"pip install '{wanted.name}{wanted.specifier}'",
        )
        for wanted in required
        if not _fits(wanted)
    ]
    if wrong:
        return wrong
    shown = [f"{name} {_version(name)}" for name in _SHOWN]
    found = ", ".join([*shown, f"{len(required) - len(shown)} others"])
    return [Check(name="libraries", verdict="ok", found=found)]


def check_extras() -> list[Check]:
    """Libraries that only some commands need."""
    extras = {
        wanted.name: (extra, wanted)
        for extra, all_wanted in _declared()[1].items()
        for wanted in all_wanted
    }
    answers = []
    for library, use in _USES.items():
        extra, wanted = extras.get(library, (None, Requirement(library)))
        found = _version(library)
        if found is not None and _fits(wanted):
            answers.append(Check(name=library, verdict="ok", found=found))
            continue
        install = install_command(extra) if extra else f"pip install {library}"
        answers.append(
            Check(
                name=library,
                verdict="optional",
                found=f"{found}, needed is {wanted.specifier}" if found else "not installed",
                remedy=f"for {use}: {install}",
            )
        )
    return answers


def _fits(wanted: Requirement) -> bool:
    found = _version(wanted.name)
    return found is not None and wanted.specifier.contains(found, prereleases=True)


def _version(library: str) -> str | None:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return None


@cache
def _declared() -> Declared:
    checkout = Path(__file__).parents[2] / "pyproject.toml"
    if checkout.exists():
        # The metadata of an editable installation may be older.
        project = tomllib.loads(checkout.read_text(encoding="utf-8"))["project"]
        if project["name"] == SUITE:
            return from_project(project)
    about = metadata.metadata(SUITE)
    return from_metadata(
        about["Requires-Python"],
        metadata.requires(SUITE) or [],
        extras=about.get_all("Provides-Extra") or [],
    )


def from_project(project: dict[str, Any]) -> Declared:
    """Reads the table `project` of a pyproject.toml."""
    lines = {None: project["dependencies"], **project.get("optional-dependencies", {})}
    return SpecifierSet(project["requires-python"]), {
        extra: [Requirement(line) for line in of_extra] for extra, of_extra in lines.items()
    }


def from_metadata(python: str, lines: Sequence[str], *, extras: Sequence[str]) -> Declared:
    """Reads what an installed package says, where extras are markers of each line."""
    by_extra: dict[str | None, list[Requirement]] = {None: []}
    for wanted in map(Requirement, lines):
        if wanted.marker is None or wanted.marker.evaluate({"extra": ""}):
            by_extra[None].append(wanted)
            continue
        for extra in extras:
            if wanted.marker.evaluate({"extra": extra}):
                by_extra.setdefault(extra, []).append(wanted)
    return SpecifierSet(python), by_extra
