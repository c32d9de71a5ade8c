"""When the loss is read."""

from __future__ import annotations

from scaling.readings import is_reading_step


def test_readings_lie_half_an_octave_apart() -> None:
    steps = [step for step in range(2000) if is_reading_step(step)]
    assert steps == [64, 91, 128, 181, 256, 362, 512, 724, 1024, 1448]


def test_a_long_run_is_read_rarely() -> None:
    steps = [step for step in range(1_000_000) if is_reading_step(step)]
    assert len(steps) == 28
