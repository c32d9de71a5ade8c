"""Claims: one owner at a time, tokens that only grow, and a fence that holds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from scaling import claims
from scaling.claims import Claim, ClaimLost, take


def of_a_dead_process(folder: Path) -> Claim:
    """A claim whose owner, a real process of this machine, was killed."""
    script = (
        "import sys, os, pathlib; from scaling.claims import take;"
        "take(pathlib.Path(sys.argv[1])); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", script, str(folder)], check=False)
    held = json.loads((folder / "claim.json").read_text())
    return Claim(folder=folder, token=held["token"], owner=held["owner"])


def of_another_machine(folder: Path, *, silent_seconds: float) -> Claim:
    claim = take(folder)
    assert claim is not None
    held = json.loads(claim.path.read_text()) | {"place": "elsewhere"}
    claim.path.write_text(json.dumps(held))
    beat = claims.server_seconds(folder) - silent_seconds
    os.utime(claim.path, (beat, beat))
    return claim


def test_a_live_claim_is_exclusive_until_it_ends(tmp_path: Path) -> None:
    first = take(tmp_path)
    assert first is not None
    assert take(tmp_path) is None
    first.end("released")
    second = take(tmp_path)
    assert second is not None
    assert (first.token, second.token) == (1, 2)


def test_of_many_takers_one_gets_the_cell(tmp_path: Path) -> None:
    of_a_dead_process(tmp_path)
    won, start = [], threading.Barrier(8)

    def grab() -> None:
        start.wait()
        if (claim := take(tmp_path)) is not None:
            won.append(claim)

    threads = [threading.Thread(target=grab) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # A taker that moved the winner's fresh claim aside has put it back.
    assert len(won) == 1
    won[0].check()
    assert won[0].token == 2


def test_a_dead_process_loses_its_claim_at_once_and_that_is_no_death(tmp_path: Path) -> None:
    dead = of_a_dead_process(tmp_path)
    claim = take(tmp_path)
    assert claim is not None
    assert claim.token == dead.token + 1
    assert claims.losses(tmp_path) == ["its process ended together with its launcher"]
    assert claims.deaths(tmp_path) == []


def test_a_machine_that_vanished_is_no_death_of_the_cell(tmp_path: Path) -> None:
    of_another_machine(tmp_path, silent_seconds=claims.STALE_SECONDS + 1)
    assert take(tmp_path) is not None
    assert claims.losses(tmp_path) == ["its machine fell silent"]
    assert claims.deaths(tmp_path) == []
    claims.forgive(tmp_path)
    assert claims.losses(tmp_path) == []


def test_a_death_that_the_launcher_saw_counts_though_another_was_faster(tmp_path: Path) -> None:
    of_a_dead_process(tmp_path)
    pid = json.loads((tmp_path / "claim.json").read_text())["pid"]
    successor = take(tmp_path)
    assert successor is not None
    claims.record_death(tmp_path, pid, "killed by SIGSEGV")
    assert claims.deaths(tmp_path) == ["killed by SIGSEGV"]
    successor.check()


@pytest.mark.parametrize("action", ["end", "record_death", "take"])
def test_a_claim_that_changes_hands_under_a_rename_stays_its_new_owner_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    """The file is another's between the look at it and the rename."""
    folder = tmp_path / "cell"
    folder.mkdir()
    old = of_a_dead_process(folder) if action == "take" else take(folder)
    assert old is not None
    rename, done = os.rename, []
    new = Claim(folder=folder, token=old.token + 1, owner="new")

    def change_hands(source: Path, target: Path) -> None:
        if not done:
            done.append(True)
            content = {"token": new.token, "owner": "new", "place": "elsewhere", "pid": 1}
            old.path.write_text(json.dumps(content))
        rename(source, target)

    monkeypatch.setattr(os, "rename", change_hands)
    if action == "end":
        old.end("released")
    elif action == "record_death":
        claims.record_death(folder, os.getpid(), "killed by SIGKILL")
    else:
        assert take(folder) is None
    assert done
    new.check()
    assert not list(folder.glob(".claim*"))


def test_a_claim_that_cannot_be_put_back_keeps_its_token_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its place was taken while it was away: its owner is stopped, and no token is given twice."""
    first = take(tmp_path)
    assert first is not None
    rename, done = os.rename, []
    held = claims.read_claim(first.path)
    assert held is not None

    def two_more(source: Path, target: Path) -> None:
        if not done:
            done.append(True)
            first.path.write_text(json.dumps(held | {"token": 7, "owner": "second"}))
            rename(source, target)
            first.path.write_text(json.dumps(held | {"token": 8, "owner": "third"}))
            return
        rename(source, target)

    monkeypatch.setattr(os, "rename", two_more)
    first.end("released")
    Claim(folder=tmp_path, token=8, owner="third").check()
    with pytest.raises(ClaimLost):
        Claim(folder=tmp_path, token=7, owner="second").check()
    assert [path.name for path in (tmp_path / "claims").iterdir()] == ["000007.lost.json"]


def test_the_fence_stops_an_owner_that_was_taken_for_dead(tmp_path: Path) -> None:
    paused = of_another_machine(tmp_path, silent_seconds=claims.STALE_SECONDS + 1)
    assert take(tmp_path) is not None
    with pytest.raises(ClaimLost):
        paused.check()
    with pytest.raises(ClaimLost):
        paused.beat()
    paused.end("ended")  # and it cannot end the claim of its successor
    held = claims.read_claim(paused.path)
    assert held is not None
    assert held["owner"] != paused.owner


def test_another_machine_is_believed_while_it_beats(tmp_path: Path) -> None:
    of_another_machine(tmp_path, silent_seconds=claims.STALE_SECONDS - 20)
    assert take(tmp_path) is None


def test_no_clock_of_ours_decides_about_a_claim(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden() -> float:
        raise AssertionError("the time of this machine says nothing about another's")

    monkeypatch.setattr("time.time", forbidden)
    of_another_machine(tmp_path, silent_seconds=1)
    assert take(tmp_path) is None
    os.utime(tmp_path / "claim.json", (1, 1))
    assert take(tmp_path) is not None


@pytest.mark.parametrize("skew_seconds", [-3600, 3600])
def test_a_worker_whose_clock_is_an_hour_off_keeps_its_claim(
    tmp_path: Path, skew_seconds: int
) -> None:
    script = (
        "import sys, time, pathlib\n"
        "real = time.time\n"
        "time.time = lambda: real() + float(sys.argv[2])\n"
        "from scaling.claims import take\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "claim = take(folder)\n"
        "claim.beat()\n"
        "print('held', flush=True)\n"
        "sys.stdin.readline()\n"
        "print(take(folder / 'other') is None, flush=True)\n"
    )
    other = tmp_path / "other"
    other.mkdir()
    of_another_machine(other, silent_seconds=claims.STALE_SECONDS - 20)
    command = [sys.executable, "-c", script, str(tmp_path), str(skew_seconds)]
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "held\n"
        # Neither do we take its claim for old, nor it another's.
        held = json.loads((tmp_path / "claim.json").read_text())
        (tmp_path / "claim.json").write_text(json.dumps(held | {"place": "elsewhere"}))
        assert not claims.is_stale(tmp_path / "claim.json")
        assert worker.communicate("go on\n")[0] == "True\n"


def test_a_beat_renews_the_claim(tmp_path: Path) -> None:
    claim = take(tmp_path)
    assert claim is not None
    os.utime(claim.path, (1, 1))
    claim.beat()
    assert claims.server_seconds(tmp_path) - claim.path.stat().st_mtime < 5


def test_deaths_are_told_even_before_a_claim_and_forgiven_by_a_retry(tmp_path: Path) -> None:
    claims.record_death(tmp_path, pid=4242, reason="killed by SIGSEGV")
    claims.record_death(tmp_path, pid=4243, reason="killed by SIGKILL")
    assert claims.deaths(tmp_path) == ["killed by SIGSEGV", "killed by SIGKILL"]
    claims.forgive(tmp_path)
    assert claims.deaths(tmp_path) == []
    claim = take(tmp_path)
    assert claim is not None
    assert claim.token == 3


def test_a_damaged_claim_blocks_only_until_it_is_stale(tmp_path: Path) -> None:
    path = tmp_path / "claim.json"
    path.write_text("{")
    assert take(tmp_path) is None
    os.utime(path, (1, 1))
    assert take(tmp_path) is not None


def test_a_takeover_that_another_has_begun_is_left_to_it(tmp_path: Path) -> None:
    of_a_dead_process(tmp_path)
    guard = tmp_path / "claims" / "000001.taking"
    guard.touch()
    assert take(tmp_path) is None
    # Unless that other one has died over it.
    os.utime(guard, (1, 1))
    assert take(tmp_path) is not None
