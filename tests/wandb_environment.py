"""The environment in which the real W&B client speaks to the stand-in and to nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

KEY = "0123456789abcdef" * 2 + "01234567"


def clean_environment(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """No server, no account and no settings of the developer's own."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(folder / "config"))
    monkeypatch.setenv("NETRC", str(folder / "netrc"))


def use_service(monkeypatch: pytest.MonkeyPatch, folder: Path, url: str) -> None:
    clean_environment(monkeypatch, folder)
    monkeypatch.setenv("WANDB_BASE_URL", url)
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    monkeypatch.setenv("WANDB_CACHE_DIR", str(folder / "wandb-cache"))
    monkeypatch.setenv("WANDB_DATA_DIR", str(folder / "wandb-data"))
