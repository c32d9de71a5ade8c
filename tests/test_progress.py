"""How a sweep is getting on, in words that fit a line."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, cast

import pytest
from rich.console import Console

from scaling.engines.cell_process import Running
from scaling.jobs import Job, Queue
from scaling.progress import Clock, counts_line, speed_line, sweep_display
from scaling.store import Store
from scaling.words import duration, short
from tests.factories import make_record, make_spec


@pytest.fixture
def queue(tmp_path: Path) -> Queue:
    """Two pending jobs of 1e9 FLOPs each."""
    store = Store(tmp_path)
    jobs = []
    for seed in (0, 1):
        spec = make_spec(seed=seed)
        store.add(spec)
        jobs.append(
            Job(
                run_id=spec.run_id,
                train_tokens=1000,
                own_tokens=1000,
                train_flops_per_token=1e6,
                labels={"arch": "decoder", "size": "25k", "train_flops": 1e9, "seed": seed},
            )
        )
    return Queue(jobs, store)


def running(queue: Queue, tokens: int) -> Running:
    """The first job, `tokens` after its first report."""
    report = {"tokens_per_second": 123_456.0, "losses": {"mlm": 2.34567, "nsp": 0.69}}
    return Running(
        job=queue.unfinished[0],
        process=cast(Any, None),
        connection=cast(Any, None),
        seat=0,
        first=report | {"tokens": 100, "train_tokens": 1000},
        progress=report | {"tokens": 100 + tokens, "train_tokens": 1000},
    )


def test_the_time_left_follows_the_measured_speed(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("scaling.progress.time.monotonic", lambda: now[0])
    clock = Clock()
    assert clock.seconds_left(queue, []) is None
    now[0] = 60.0
    # The minute before the first report is no training, and 5 seconds of it say little.
    assert clock.seconds_left(queue, [running(queue, 0)]) is None
    now[0] = 65.0
    assert clock.seconds_left(queue, [running(queue, 1)]) is None
    now[0] = 70.0
    # Half of one of two equal jobs took 10 seconds: three halves are left.
    assert clock.seconds_left(queue, [running(queue, 500)]) == pytest.approx(30.0)


def test_the_time_left_is_never_negative(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("scaling.progress.time.monotonic", lambda: now[0])
    clock = Clock()
    clock.seconds_left(queue, [])
    clock.seconds_left(queue, [running(queue, 0)])
    now[0] = 10.0
    # Without its trunk's checkpoint a branch trains more than its own part.
    assert clock.seconds_left(queue, [running(queue, 5000)]) == pytest.approx(10.0)
    # One of the two has published, and its process has not yet said so.
    ended = running(queue, 900)
    publish(queue, ended.job.run_id)
    assert clock.seconds_left(queue, [ended]) == pytest.approx(10.0)


def test_a_cell_that_has_published_is_not_listed_as_running(queue: Queue) -> None:
    first = running(queue, 500)
    queue.here.add(first.job.run_id)
    publish(queue, first.job.run_id)
    screen = io.StringIO()
    with sweep_display("tiny", Console(file=screen, width=80)) as display:
        display.update(queue, [first])
    assert screen.getvalue() == "tiny: 1/2 done, 1 pending\n"


def publish(queue: Queue, run_id: str) -> None:
    store = queue._store
    claim = store.claim(run_id)
    assert claim is not None
    store.publish(claim, make_record(store.spec(run_id)))
    queue.refresh(run_id)


def test_a_cell_is_told_by_tokens_speed_and_losses(queue: Queue) -> None:
    line = speed_line(running(queue, 500))
    assert line == "600/1k tokens, 123k tok/s, mlm 2.346, nsp 0.690"


def test_counts_name_what_went_wrong(queue: Queue) -> None:
    assert queue.counts() == {"pending": 2}
    assert counts_line({"done": 3, "failed": 1, "pending": 2}, 200.0) == (
        "3/6 done, 2 pending, 1 failed, 3 min left"
    )
    assert counts_line({"done": 3}, 0.0) == "3/3 done"


@pytest.mark.parametrize("terminal", [True, False])
def test_both_displays_fit_eighty_columns(queue: Queue, terminal: bool) -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=terminal, width=80)
    with sweep_display("tiny", console) as display:
        display.update(queue, [])
        display.update(queue, [running(queue, 500)])
    assert "0/2 done, 2 pending" in screen.getvalue()
    if terminal:
        assert "600/1k tokens" in screen.getvalue()


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0"), (999, "999"), (1_234, "1.23k"), (2.5e6, "2.5M"), (3e12, "3T")]
)
def test_counts_have_three_digits_and_a_unit(number: float, text: str) -> None:
    assert short(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(5, "5 s"), (89.6, "90 s"), (90, "2 min"), (5399, "90 min"), (9000, "2.5 h")],
)
def test_times_have_a_unit_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text
