"""Writes are whole or not there, and of several writers one is first."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from scaling.errors import describe_os_error
from scaling.files import write_atomic, write_exclusive, written_atomically


def test_of_many_exclusive_writers_one_wins_and_its_content_stays(tmp_path: Path) -> None:
    path, won, start = tmp_path / "file", [], threading.Barrier(8)

    def write(number: int) -> None:
        start.wait()
        if write_exclusive(path, str(number)):
            won.append(number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert path.read_text() == str(won[0])
    assert os.listdir(tmp_path) == ["file"]


def test_a_failed_write_leaves_the_old_content_and_no_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_atomic(path, "old")

    def full(descriptor: int, data: memoryview) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space left") as raised:
        write_atomic(path, "new")
    assert raised.value.filename == str(path)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_block_that_raises_leaves_nothing(tmp_path: Path) -> None:
    def break_off() -> None:
        with written_atomically(tmp_path / "a" / "file") as path:
            path.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        break_off()
    assert os.listdir(tmp_path / "a") == []


def test_a_full_disk_is_said_with_path_space_and_remedy(tmp_path: Path) -> None:
    place = tmp_path / "cells" / "missing"
    error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(place))
    line = describe_os_error(error)
    assert line.startswith(f"{place}: no space left on device, ")
    assert line.endswith(" bytes are free; free some and run again")
