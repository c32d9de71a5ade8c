"""`scaling watch`: progress, trend and time left of what runs; what ended; one screen at most."""

from __future__ import annotations

import io
from collections import deque
from typing import Any

import pytest
from rich.console import Console

from scaling.sweep_status import CellStatus, SweepStatus
from scaling.watch_view import WatchView, sparkline

HOSTILE = "<script>[bold red]\x1b[2J" + "x" * 10_000


def cell(number: int, state: str, **values: Any) -> CellStatus:
    given = {"labels": {"seed": number}, "reason": "why"} | values
    return CellStatus(run_id=f"{number:016x}", state=state, **given)


def drawn(view: WatchView, *cells: CellStatus, height: int = 40, width: int = 150) -> str:
    console = Console(file=io.StringIO(), width=width, height=height)
    console.print(view.draw(SweepStatus(sweep="s", cells=cells, refused=()), height))
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def running(number: int, loss: float, tokens: int = 250) -> CellStatus:
    return cell(number, "running", tokens=tokens, train_tokens=1000, tokens_per_second=10.0,
                losses={"clm": loss}, machine="one")  # fmt: skip


def test_a_running_cell_shows_its_share_loss_and_time_left() -> None:
    lines = drawn(WatchView(), running(1, 2.5)).splitlines()
    (row,) = (line for line in lines if "clm 2.500" in line)
    for words in ("25", "250/1k", "10", "75 s", "one"):
        assert words in row


def test_the_trend_grows_with_every_look() -> None:
    view = WatchView()
    for loss in (4.0, 3.0, 2.0):
        text = drawn(view, running(1, loss))
    assert "█▅▁" in text
    assert sparkline(deque([2.0])) == ""
    assert sparkline(deque([2.0, 2.0])) == "▁▁"


def test_what_ends_while_one_watches_is_told() -> None:
    view = WatchView()
    before = drawn(view, running(1, 2.0), cell(2, "done"))
    assert "ended while you watched" not in before
    after = drawn(view, cell(1, "done"), cell(2, "done"))
    assert "ended while you watched" in after
    assert "done: 1" in after
    assert "done: 2" not in after


def test_a_failure_shows_its_reason_and_its_last_words() -> None:
    text = drawn(WatchView(), cell(3, "failed", last_log_line="out of tea"))
    assert f"failed: 3 ({3:016x}): why" in text
    assert "out of tea" in text


@pytest.mark.parametrize("height", [24, 40])
def test_a_screen_holds_a_sweep_of_hundreds_of_cells(height: int) -> None:
    view = WatchView()
    many = [running(i, 2.0) for i in range(300)]
    bad = [cell(i + 300, "failed", last_log_line="no") for i in range(300)]
    drawn(view, *many, *bad, height=height)
    ended = [cell(i, "done") for i in range(50)]
    text = drawn(view, *ended, *many[50:], *bad, height=height, width=100)
    assert len(text.splitlines()) <= height
    assert "more running" in text


def test_hostile_text_is_text() -> None:
    text = drawn(
        WatchView(),
        cell(1, "running", labels={"size": HOSTILE}, tokens=1, train_tokens=2, machine=HOSTILE),
        cell(2, "failed", labels={"size": HOSTILE}, last_log_line=HOSTILE),
    )
    assert "\x1b" not in text
    assert "<script>[bold red]" in text
    assert len(text.splitlines()) <= 40
    assert max(map(len, text.splitlines())) <= 150
