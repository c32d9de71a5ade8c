"""Claims: one owner at a time, tokens that only grow, and a fence that holds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

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


def test_a_dead_process_loses_its_claim_at_once_and_is_counted(tmp_path: Path) -> None:
    dead = of_a_dead_process(tmp_path)
    claim = take(tmp_path)
    assert claim is not None
    assert claim.token == dead.token + 1
    assert claims.deaths(tmp_path) == ["its heartbeat stopped"]


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


def test_age_is_judged_by_the_clock_of_the_file_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_another_machine(tmp_path, silent_seconds=1)
    # Our own clock is an hour ahead of the server's: the claim is one second old all the same.
    monkeypatch.setattr("time.time", lambda: claims.server_seconds(tmp_path) + 3600)
    assert take(tmp_path) is None


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
    claims.forgive_deaths(tmp_path)
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
    guard.parent.mkdir()
    guard.touch()
    assert take(tmp_path) is None
    # Unless that other one has died over it.
    os.utime(guard, (1, 1))
    assert take(tmp_path) is not None
