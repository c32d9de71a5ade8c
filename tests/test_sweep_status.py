"""The status of a sweep: one truth for a table, a screen, plain lines and JSON."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from scaling import cancel, status_view
from scaling.live import LiveWriter
from scaling.store import Store
from scaling.sweep_status import CellStatus, StatusReader, SweepStatus
from scaling.watch import Progress
from scaling.words import describe
from tests.factories import make_record, make_spec
from tests.test_cli import assert_one_line, scaling

STATES = ("done", "failed", "running", "cancelled", "pending")
HALF = Progress(tokens=512, train_tokens=1024, tokens_per_second=64.0, losses={"clm": 2.5})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A sweep with a cell in each state, and one that is excluded."""
    store = Store(tmp_path)
    listed: list[dict[str, Any]] = []
    for seed, state in enumerate(STATES):
        spec = make_spec(seed=seed)
        store.add(spec)
        listed.append({"run_id": spec.run_id, "labels": {"size": "25k", "seed": seed},
                       "depends_on": None, "excluded": None, "spec": spec.to_dict()})  # fmt: skip
        folder = store.folder(spec.run_id)
        if state == "cancelled":
            cancel.mark(folder, cancel.Mark(by="ann@one", at="noon", reason="tea"))
        if state in ("done", "failed", "running"):
            claim = store.claim(spec.run_id)
            assert claim is not None
            (folder / "log.txt").write_text("started\nlast words\n")
            writer = LiveWriter(claim)
            writer.take(HALF)
            writer.write()
            if state == "failed":
                (folder / "traceback.txt").write_text("Traceback\n")
            if state != "running":
                store.publish(claim, make_record(spec, state))
    listed.append({"run_id": None, "labels": {"size": "1M", "seed": 0}, "depends_on": None,
                   "excluded": "steps=3 is under min_steps=10", "spec": None})  # fmt: skip
    store.write_sweep("mixed", "", listed)
    return store


def forecast(store: Store) -> None:
    cells = [
        {"run_id": make_spec(seed=seed).run_id, "own_flops": 2e6, "train_flops": 4e6}
        for seed in range(len(STATES))
    ]
    (store.sweep_folder("mixed") / "plan.json").write_text(json.dumps({"cells": cells}))


def test_each_row_tells_all_that_is_known(store: Store) -> None:
    found = {cell.state: cell for cell in StatusReader(store, "mixed").read().cells}
    assert list(found) == [*STATES, "excluded"]
    running = found["running"]
    assert (running.tokens, running.tokens_per_second, running.losses) == (512, 64.0, {"clm": 2.5})
    assert running.machine
    assert running.started is not None
    failed = found["failed"]
    assert failed.reason == "planted"
    assert failed.last_log_line == "last words"
    assert failed.traceback == str(store.folder(str(failed.run_id)) / "traceback.txt")
    assert failed.attempts == 1
    assert failed.tokens_per_second is None
    assert found["done"].tokens == make_spec().train_tokens
    assert found["cancelled"].reason == "cancelled by ann@one at noon: tea"
    assert (found["pending"].attempts, found["pending"].log) == (0, None)
    assert found["excluded"].reason == "steps=3 is under min_steps=10"


def test_the_words_of_an_earlier_attempt_are_not_taken_for_this_one_s(store: Store) -> None:
    run_id = make_spec(seed=STATES.index("running")).run_id
    path = store.folder(run_id) / "progress.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"owner": "another"}))
    (running,) = StatusReader(store, "mixed").read().running
    assert (running.tokens, running.tokens_per_second) == (None, None)


def test_the_speed_is_summed_and_the_rest_follows_from_the_forecast(store: Store) -> None:
    status = StatusReader(store, "mixed").read()
    assert status.tokens_per_second == 64.0
    assert status.seconds_left is None  # FLOPs of the cells are not known
    forecast(store)
    status = StatusReader(store, "mixed").read()
    (running,) = status.running
    assert running.train_tokens is not None
    per_token = 4e6 / running.train_tokens
    # The rest of the running cell, and all of the pending one's own part.
    left = min(2e6, (running.train_tokens - 512) * per_token) + 2e6
    assert status.seconds_left == pytest.approx(left / (64.0 * per_token))


def test_a_cell_that_is_slower_than_all_else_sets_the_end() -> None:
    def cell(speed: float) -> CellStatus:
        return CellStatus(run_id="0" * 16, labels={}, state="running", tokens=0, train_tokens=100,
                          tokens_per_second=speed, own_flops=100.0, train_flops=100.0)  # fmt: skip

    status = SweepStatus(sweep="s", cells=(cell(1.0), cell(99.0)), refused=())
    assert status.seconds_left == pytest.approx(100.0)


def test_what_has_ended_is_read_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = StatusReader(store, "mixed")
    first = reader.read()

    def fail(self: Store, run_id: str) -> None:
        assert not (self.folder(run_id) / "record.json").exists(), "read again"

    monkeypatch.setattr(Store, "record", fail)
    assert reader.read().counts == first.counts
    with pytest.raises(AssertionError, match="read again"):
        StatusReader(store, "mixed").read()


def test_json_holds_everything(store: Store) -> None:
    found = json.loads(scaling("status", "mixed", "--root", store.root, "--json").stdout)
    assert found["counts"] == dict.fromkeys((*STATES, "excluded"), 1)
    assert found["tokens_per_second"] == 64.0
    assert set(found["cells"][0]) == set(CellStatus.__slots__)


def test_the_table_says_why_and_where_to_look(store: Store) -> None:
    console = Console(file=io.StringIO(), width=200)
    status_view.print_table(StatusReader(store, "mixed").read(), console)
    output = console.file.getvalue()  # type: ignore[attr-defined]
    assert "planted" in output
    assert "cancelled by ann@one at noon: tea" in output
    assert "512/" in output
    assert "64 tok/s" in output
    assert "last log line of" in output


def test_a_terminal_gets_a_line_per_cell_and_the_reasons_in_full(store: Store) -> None:
    status = StatusReader(store, "mixed").read()
    reason = "no good \x1b[2J" + "reason " * 20
    cells = tuple(
        dataclasses.replace(cell, reason=reason) if cell.state == "failed" else cell
        for cell in status.cells
    )
    status = dataclasses.replace(status, cells=cells)
    for width in (60, 80, 120):
        console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
        status_view.print_table(status, console)
        lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
        table = lines[: len(cells) + 1]
        assert max(map(len, table)) <= width
        for cell, line in zip(cells, table[1:], strict=True):
            assert line.startswith(f"{(cell.run_id or '-')[:8]} ")
            assert cell.state in line or width == 60
        (told,) = (line for line in lines if line.startswith("failed: "))
        assert f"reason {'reason ' * 19}"[:-1] in told
        assert "\x1b" not in "".join(lines)


def test_what_is_no_terminal_gets_every_cell_in_full(store: Store) -> None:
    status = StatusReader(store, "mixed").read()
    console = Console(file=io.StringIO(), width=40)
    status_view.print_table(status, console)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    for cell, line in zip(status.cells, lines[1:], strict=False):
        assert (cell.run_id or "-") in line
        assert describe(cell.labels) in line
        assert (cell.reason or "") in line


def finished(status: SweepStatus) -> SweepStatus:
    cells = tuple(cell for cell in status.cells if cell.state in ("done", "failed", "cancelled"))
    return SweepStatus(sweep=status.sweep, cells=cells, refused=())


def looks(store: Store) -> Iterator[SweepStatus]:
    status = StatusReader(store, "mixed").read()
    yield from (status, status, finished(status))


@pytest.mark.parametrize("terminal", [True, False])
def test_a_watch_ends_by_itself_and_says_what_failed(store: Store, terminal: bool) -> None:
    found = looks(store)
    console = Console(file=io.StringIO(), width=100, height=30, force_terminal=terminal,
                      color_system=None)  # fmt: skip
    status_view.watch(lambda: next(found), console, interval_seconds=0.01)
    assert list(found) == []
    output = console.file.getvalue()  # type: ignore[attr-defined]
    assert "clm 2.500" in output
    assert "planted" in output
    if not terminal:
        assert "\x1b" not in output
        assert output.count("planted") == 1
        lines = output.splitlines()
        assert lines[0].startswith("mixed: 1 cancelled, 1 done, 1 excluded, 1 failed, 1 pending, ")
        assert "64 tok/s" in lines[0]
        assert lines[-1] == "mixed: 1 cancelled, 1 done, 1 failed"


def test_leaving_a_watch_is_no_failure(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("scaling.status_view.time.sleep", interrupt)
    result = scaling("status", "mixed", "--root", store.root, "--watch")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == "left; the sweep goes on"


def test_a_screen_holds_a_sweep_of_hundreds_of_cells() -> None:
    def cells(state: str) -> tuple[CellStatus, ...]:
        return tuple(
            CellStatus(run_id=f"{i:016x}", labels={"seed": i}, state=state, reason="why")
            for i in range(300)
        )

    status = SweepStatus(sweep="big", cells=cells("running") + cells("failed"), refused=())
    console = Console(file=io.StringIO(), width=80, height=24)
    console.print(status_view.screen(status, height=24))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert len(lines) <= 24
    assert "and 292 more without a result; `scaling status` lists them all" in lines[-1]
    assert any("more running" in line for line in lines)


def test_a_watch_needs_a_sweep(store: Store) -> None:
    assert_one_line(scaling("status", "--root", store.root, "--watch"), "needs a SWEEP; known: mix")


def test_a_watch_in_json_is_one_line_a_look(store: Store) -> None:
    for state in ("running", "pending"):
        cancel_or_end = store.folder(make_spec(seed=STATES.index(state)).run_id)
        (cancel_or_end / "claim.json").unlink(missing_ok=True)
        cancel.mark(cancel_or_end, cancel.new_mark())
    result = scaling("status", "mixed", "--root", store.root, "--watch", "--json")
    (line,) = result.stdout.splitlines()
    assert json.loads(line)["counts"]["cancelled"] == 3
