"""Launches of `scaling run` as people start them, and what they leave in the store."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

from scaling.store import Store

# Enough for a machine with much else to do; a guard against hanging and no claim.
PATIENCE_SECONDS = 1800.0


@contextlib.contextmanager
def launch(
    sweep_file: Path, root: Path, *options: str, start_new_session: bool = False
) -> Iterator[subprocess.Popen[str]]:
    """A launch that does not outlive the block.

    Args:
        start_new_session: it gets a process group of its own, which a terminal would signal whole.
    """
    command = [sys.executable, "-m", "scaling", "run", str(sweep_file), "--root", str(root)]
    with subprocess.Popen(
        [*command, "--wandb", "disabled", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=start_new_session,
        cwd=Path(__file__).parents[1],
        # A shell that runs the tests in the background has them ignore Ctrl-C, and so would it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL) and None,
    ) as launcher:
        try:
            yield launcher
        finally:
            launcher.kill()


def launched(sweep_file: Path, root: Path, *options: str) -> tuple[int, str]:
    """The exit code of a launch that is left alone, and what it said."""
    with launch(sweep_file, root, *options) as launcher:
        output, _ = launcher.communicate(timeout=PATIENCE_SECONDS)
    return launcher.returncode, output


def wait_for(
    happened: Callable[[], object],
    *,
    seconds: float = PATIENCE_SECONDS,
    pause_seconds: float = 0.1,
) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(pause_seconds)


def claim_pids(root: Path) -> list[int]:
    """The processes that train right now."""
    found = []
    for path in root.glob("cells/*/claim.json"):
        try:
            found.append(int(json.loads(path.read_text())["pid"]))
        except FileNotFoundError:
            continue
    return found


def at_work(root: Path) -> list[int]:
    """Those of them that have taken their first steps, however busy the machine is."""
    found = []
    for pid in claim_pids(root):
        with contextlib.suppress(psutil.Error):
            if psutil.Process(pid).cpu_times().user > 1.0:  # text and model take less
                found.append(pid)
    return found


def results(root: Path) -> dict[str, dict[str, Any]]:
    """What each run found, by run id, without its provenance and the folder of its corpus."""
    store = Store(root)
    found = {}
    for run_id in store.run_ids():
        record = store.record(run_id)
        assert record is not None, f"{run_id} has no record"
        result = record.result()
        result["spec"] = result["spec"] | {"corpus": ""}
        found[run_id] = result
    return found


def ends(root: Path) -> dict[str, list[str]]:
    """How the claims of each cell ended, in their order."""
    return {
        folder.parent.name: [
            name.split(".")[1] for name in sorted(os.listdir(folder)) if name.endswith(".json")
        ]
        for folder in root.glob("cells/*/claims")
    }
