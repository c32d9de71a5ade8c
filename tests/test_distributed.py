"""Data-parallel training gives what one process gives."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.factories import make_text


def trained_on(devices: int, folder: Path) -> dict[str, Any]:
    finished = subprocess.run(
        [sys.executable, "-m", "tests.distributed_run", str(folder), str(devices)],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    (line,) = [row for row in finished.stdout.splitlines() if row.startswith("RESULT ")]
    result: dict[str, Any] = json.loads(line.removeprefix("RESULT "))
    return result


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path: Path) -> None:
    make_text(tmp_path)
    one, two = (trained_on(devices, tmp_path) for devices in (1, 2))
    assert two["tokens_predicted"] == one["tokens_predicted"]
    assert two["losses"]["mlm"]["nats_per_target"] == pytest.approx(
        one["losses"]["mlm"]["nats_per_target"], rel=1e-5
    )
    for mine, theirs in zip(one["curve"], two["curve"], strict=True):
        assert theirs["nats_per_target"] == pytest.approx(mine["nats_per_target"], rel=1e-5)
