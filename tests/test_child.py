"""The seat of a cell's process, and what it tells its launcher."""

from __future__ import annotations

import os
import signal
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import pytest

from scaling.engines.child import Seat, _run, _sit_down
from scaling.jobs import Job
from scaling.progress import speed_line
from scaling.watch import Progress


@pytest.mark.parametrize(
    ("visible", "gpus", "expected"),
    [("", (1,), "1"), ("5,7", (1,), "7"), ("GPU-a,GPU-b", (0,), "GPU-a"), ("4,5,6", (0, 2), "4,6")],
)
def test_seats_are_numbered_within_the_devices_that_the_user_left(
    monkeypatch: pytest.MonkeyPatch, visible: str, gpus: tuple[int, ...], expected: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    _sit_down(Seat(threads=1, gpus=gpus))
    assert os.environ["CUDA_VISIBLE_DEVICES"] == expected


def test_what_a_cell_reports_is_all_that_a_display_shows(tmp_path: Path) -> None:
    def run_cell(root: Path, job: Job, *, on_progress: Any) -> str:
        on_progress(Progress(tokens=3, train_tokens=8, tokens_per_second=0.0, losses={}))
        on_progress(
            Progress(tokens=1, train_tokens=2, tokens_per_second=0.0, losses={}, unit="parts")
        )
        return "done"

    here, there = Pipe()
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert _run(there, tmp_path, Job(run_id="0" * 16), run_cell) == "done"
    finally:
        signal.signal(signal.SIGTERM, before)
    told = []
    while here.poll():
        what, content = here.recv()
        if what == "progress":
            told.append(speed_line(_AtWork(content)))
    assert told == ["3/8 tokens", "1/2 parts"]


class _AtWork:
    """A cell at work, as far as its line needs it."""

    def __init__(self, progress: dict[str, Any]) -> None:
        self.progress = progress
