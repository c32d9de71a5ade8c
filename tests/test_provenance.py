"""Where a record says that it comes from."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from scaling import provenance


def test_the_commit_is_that_of_the_suite_and_not_of_a_project_around_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    author = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    for command in (["init", "-q"], [*author, "commit", "-q", "--allow-empty", "-m", "x"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=tmp_path, check=True, capture_output=True, text=True
    ).stdout.strip()

    def commit_of(package: Path) -> str | None:
        package.mkdir(parents=True)
        monkeypatch.setattr(provenance, "__file__", str(package / "provenance.py"))
        found: str | None = provenance.git_commit.__wrapped__()
        return found

    assert commit_of(tmp_path / "scaling") == head
    assert commit_of(tmp_path / ".venv" / "site-packages" / "scaling") is None
