"""Logs: whole lines, their end, what is added; and nothing that a terminal would obey."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from scaling import claims, logs
from scaling.history import attempts
from scaling.logs import follow, harmless, last_line, read_blocks
from scaling.store import Store
from tests.factories import make_record, make_spec
from tests.test_cli import assert_one_line, scaling


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, ünïcode\tand tabs\n", "plain, ünïcode\tand tabs\n"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("\x1b[2J\x1b[H", "\\x1b[2J\\x1b[H"),
        ("10%\r20%\r\ndone", "10%\n20%\ndone"),
        ("a\x08\x00\x9b", "a\\x08\\x00\\x9b"),
        ("safe\u202egnp.exe", "safe\\u202egnp.exe"),
        ("half \udcff", "half \\udcff"),
    ],
)
def test_controls_are_spelled_out(text: str, shown: str) -> None:
    assert harmless(text) == shown


@pytest.mark.parametrize("block_bytes", [3, 1 << 16])
@pytest.mark.parametrize("end", ["", "\n"])
@pytest.mark.parametrize("tail", [None, 0, 1, 2, 7, 100])
def test_the_tail_is_the_last_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block_bytes: int, end: str, tail: int | None
) -> None:
    monkeypatch.setattr(logs, "_BLOCK_BYTES", block_bytes)
    lines = [f"line {i} é" for i in range(20)]
    (tmp_path / "log.txt").write_text("\n".join(lines) + end, encoding="utf-8")
    found = "".join(read_blocks(tmp_path / "log.txt", tail=tail))
    wanted = lines if tail is None else lines[len(lines) - min(tail, 20) :]
    assert found == "\n".join(wanted) + (end if wanted else "")


def test_a_log_that_is_not_there_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    assert list(read_blocks(path, tail=3)) == []
    assert list(follow(path, is_over=lambda: True, tail=3)) == []
    assert last_line(path) is None
    path.write_text("one\n\x1b[31mtwo\n  \n")
    assert last_line(path) == "two"


def test_what_is_added_is_shown_in_whole_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log.txt"
    steps = iter(["old\nfirst\nha", "old\nfirst\nhalf\n", "new\n", "new\nlast"])
    shown: list[str] = []

    def written() -> None:
        path.write_text(next(steps))

    written()
    monkeypatch.setattr(logs.time, "sleep", lambda seconds: written())
    over = iter([False, False, False, True])
    for text in follow(path, is_over=lambda: next(over), tail=2):
        shown.append(text)
    # The third one replaced the log by a shorter one, which is read from its start.
    assert shown == ["first\n", "half\n", "new\n", "last"]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """One failed cell with two attempts, one that was never started."""
    store = Store(tmp_path)
    for seed in (0, 1):
        store.add(make_spec(seed=seed))
    run_id = make_spec().run_id
    folder = store.folder(run_id)
    claim = store.claim(run_id)
    assert claim is not None
    claim.end("released")
    claim = store.claim(run_id)
    assert claim is not None
    (folder / "log.txt").write_text("one\ntwo\x1b[2J\nthree\n")
    (folder / "traceback.txt").write_text("Traceback:\n  boom\n")
    store.publish(claim, make_record(make_spec(), "failed", reason="ValueError: boom \x1b[2J"))
    return store


def test_the_history_of_a_cell(store: Store) -> None:
    folder = store.folder(make_spec().run_id)
    first, second = attempts(folder)
    assert (first.number, first.end) == (1, "stopped before its end")
    assert (second.number, second.end) == (2, "ended with a record")
    assert first.machine == claims.place().partition("/")[0]
    assert first.started is not None
    assert first.started[:19] <= first.last_seen[:19]
    other = store.folder(make_spec(seed=1).run_id)
    assert attempts(other) == []
    held = claims.take(other)
    assert held is not None
    assert [attempt.end for attempt in attempts(other)] == ["running"]
    claims.record_death(other, held_pid(other), "killed by SIGKILL")
    assert [(a.end, a.reason) for a in attempts(other)] == [("died", "killed by SIGKILL")]


def held_pid(folder: Path) -> int:
    held = claims.read_claim(folder / "claim.json")
    assert held is not None
    return int(held["pid"])


def test_logs_shows_attempts_log_and_traceback(store: Store) -> None:
    run_id = make_spec().run_id
    result = scaling("logs", run_id[:6], "--root", store.root, "--tail", 2)
    assert result.exit_code == 0, result.output
    assert result.stdout == "two\\x1b[2J\nthree\nTraceback:\n  boom\n"
    said = result.stderr.splitlines()
    assert said[0] == f"{run_id} is failed: ValueError: boom \\x1b[2J"
    assert said[1].startswith("attempt 1 on ")
    assert said[2].endswith(", ended with a record")
    assert scaling("logs", run_id, "--root", store.root, "--traceback").stdout == (
        "Traceback:\n  boom\n"
    )
    followed = scaling("logs", run_id, "--root", store.root, "-f")
    assert followed.stdout.startswith("one\ntwo\\x1b[2J\nthree\n")


def test_a_cell_that_has_nothing_says_so(store: Store) -> None:
    run_id = make_spec(seed=1).run_id
    result = scaling("logs", run_id, "--root", store.root)
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == f"{run_id} is pending\nit has no log.txt yet\n"
    none = scaling("logs", run_id, "--root", store.root, "--traceback")
    assert "no attempt has raised an error" in none.stderr


def test_a_run_id_that_is_unknown_or_not_unique_is_one_line(store: Store) -> None:
    assert_one_line(scaling("logs", "zzz", "--root", store.root), "no run id begins with 'zzz'")
    assert_one_line(scaling("logs", "../../etc", "--root", store.root), "no run id begins with")
    assert_one_line(scaling("logs", "", "--root", store.root), "2 run ids begin with ''")


def test_logs_needs_no_trainer() -> None:
    from tests.test_cli import in_fresh_process

    code = (
        "import sys, scaling.sweep_status, scaling.status_view, scaling.commands.logs\n"
        "print(sorted({'torch', 'pytorch_lightning', 'numpy', 'pandas'} & sys.modules.keys()))"
    )
    assert in_fresh_process(code).strip() == "[]"
    assert "torch" in sys.modules  # this process has it, so that the name is the right one
