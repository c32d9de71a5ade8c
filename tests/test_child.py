"""The seat of a cell's process."""

from __future__ import annotations

import os

import pytest

from scaling.engines.child import Seat, _sit_down


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
