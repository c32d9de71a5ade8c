"""The WSD schedule."""

from __future__ import annotations

import math

import pytest

from scaling.schedule import learning_rate
from tests.factories import make_spec


def test_warm_up_plateau_and_cool_down() -> None:
    spec = make_spec()  # 20 steps: warm-up 4, cool-down 4
    rates = [learning_rate(spec, step) / spec.peak_lr for step in range(spec.total_steps)]
    assert rates[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert rates[4:17] == pytest.approx([1.0] * 13)
    assert rates[17:] == pytest.approx([1 - math.sqrt(x) for x in (0.25, 0.5, 0.75)])


def test_horizons_share_the_plateau_bit_for_bit() -> None:
    short = make_spec()
    long = make_spec(train_tokens=512 * 40)
    for step in range(short.fork_step):
        assert learning_rate(short, step) == learning_rate(long, step)


def test_without_a_cool_down_the_rate_stays_at_its_peak() -> None:
    spec = make_spec(cooldown_tokens=0)
    assert learning_rate(spec, spec.total_steps - 1) == spec.peak_lr
