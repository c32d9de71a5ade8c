"""What to type where a library is missing."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from scaling import install
from scaling.install import install_command

ROOT = Path(__file__).parents[1]


def test_a_checkout_installs_its_own_extras_into_the_python_that_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(ROOT / ".venv/bin/python"))
    monkeypatch.chdir(ROOT)
    assert install_command("hub") == (
        ".venv/bin/python -m pip install -c constraints.txt -e '.[hub]'"
    )
    monkeypatch.chdir(tmp_path)
    words = shlex.split(install_command("hub"))
    assert words[:4] == [str(ROOT / ".venv/bin/python"), "-m", "pip", "install"]
    assert words[4:] == ["-c", str(ROOT / "constraints.txt"), "-e", f"{ROOT}[hub]"]


def test_an_installed_suite_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pyproject.toml").write_text('name = "another"\n')
    monkeypatch.setattr(install, "__file__", str(tmp_path / "scaling" / "install.py"))
    monkeypatch.chdir(tmp_path)  # no Python lies below it
    assert install_command("hub") == shlex.join(
        [sys.executable, "-m", "pip", "install", "scaling-suite[hub]"]
    )


@pytest.mark.slow
def test_pip_takes_the_command() -> None:
    words = shlex.split(install_command("slurm"))
    done = subprocess.run([*words, "--dry-run", "--no-deps", "--no-build-isolation"], cwd=ROOT)
    assert done.returncode == 0
