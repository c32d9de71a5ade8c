"""Does W&B work here, in the mode that applies? The key is looked for, and never shown."""

from __future__ import annotations

import configparser
import netrc
import os
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from scaling.checks.check import Check

_MODES = ("offline", "online", "disabled")
_PUBLIC_SERVER = "https://api.wandb.ai"
_TRIAL_SECONDS = 20.0


def check_wandb() -> list[Check]:
    mode = os.environ.get("WANDB_MODE") or "offline"
    if mode not in _MODES:
        found = f"WANDB_MODE={mode!r} is unknown and counts as offline"
        remedy = f"set it to one of {', '.join(_MODES)}, or unset it"
        return [Check(name="W&B", verdict="warning", found=found, remedy=remedy)]
    if mode == "disabled":
        return [Check(name="W&B", verdict="ok", found="disabled by WANDB_MODE")]
    server = server_url()
    source = key_source(server)
    if mode == "online" and source is None:
        found = f"online, but there is no key for {server}: runs will be kept offline"
        remedy = "wandb login, or set WANDB_API_KEY"
        return [Check(name="W&B", verdict="warning", found=found, remedy=remedy)]
    if trouble := _try_offline():
        remedy = "training works without; pip install --force-reinstall wandb"
        return [Check(name="W&B", verdict="warning", found=trouble, remedy=remedy)]
    key = f"a key in {source}" if source else "no key, and none is needed"
    return [Check(name="W&B", verdict="ok", found=f"{mode}, {key}")]


def server_url() -> str:
    """Where `WANDB_MODE=online` sends runs."""
    if url := os.environ.get("WANDB_BASE_URL"):
        return url
    folder = os.environ.get("WANDB_CONFIG_DIR") or Path("~", ".config", "wandb").expanduser()
    settings = configparser.ConfigParser(interpolation=None)
    try:
        settings.read(Path(folder) / "settings", encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError):
        return _PUBLIC_SERVER
    return settings.get("default", "base_url", fallback=_PUBLIC_SERVER)


def key_source(server: str) -> str | None:
    """Where W&B would find a key for `server`; None when it has none."""
    for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE"):
        if os.environ.get(name):
            return name
    path = Path(os.environ.get("NETRC") or "~/.netrc").expanduser()
    try:
        found = netrc.netrc(path).authenticators(urlsplit(server).netloc)
    except (OSError, netrc.NetrcParseError):
        return None
    return str(path) if found and found[2] else None


def _try_offline() -> str | None:
    """Logs a run of one row; the trouble, if there is any."""
    from scaling.wandb_writer import WandbWriter

    with tempfile.TemporaryDirectory(prefix="scaling-doctor-") as folder:
        run = {"id": "doctor", "project": "doctor"}
        writer = WandbWriter(run, root=Path(folder), mode="offline")
        writer.start()
        writer.put_row({"progress/step": 1})
        writer.close({}, exit_code=0, patience_seconds=_TRIAL_SECONDS)
        if writer.trouble is None and not list(Path(folder).rglob("*.wandb")):
            return "a run was logged, and no file of it is there"
        return writer.trouble
