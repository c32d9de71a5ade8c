"""The law of a token: temperature, top-k and top-p by hand, and draws by inversion."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from scaling.generation.law import draw, law
from scaling.generation.noise import Noise


def logits(*probs: float) -> Tensor:
    return torch.tensor([[math.log(p) if p else -math.inf for p in probs]], dtype=torch.float64)


def rounded(probs_MV: Tensor) -> list[float]:
    return [round(p, 9) for p in probs_MV[0].tolist()]


def test_temperature_is_a_power_of_the_law() -> None:
    # 0.8^2 : 0.2^2 = 0.64 : 0.04
    assert rounded(law(logits(0.8, 0.2), temperature=0.5)) == [
        round(0.64 / 0.68, 9), round(0.04 / 0.68, 9),
    ]  # fmt: skip
    assert rounded(law(logits(0.8, 0.2))) == [0.8, 0.2]


def test_temperature_zero_takes_the_first_of_the_likeliest() -> None:
    assert rounded(law(logits(0.2, 0.4, 0.4), temperature=0)) == [0, 1, 0]


def test_top_k_keeps_the_k_likeliest() -> None:
    assert rounded(law(logits(0.1, 0.5, 0.1, 0.3), top_k=2)) == [0, 0.625, 0, 0.375]
    # Of a tie the lower id stays.
    assert rounded(law(logits(0.2, 0.2, 0.6), top_k=2)) == [0.25, 0, 0.75]


@pytest.mark.parametrize(
    ("top_p", "expected"),
    [
        (0.5, [0, 1, 0, 0]),
        (0.51, [0, 0.625, 0, 0.375]),
        (0.79, [0, 0.625, 0, 0.375]),
        (0.81, [0.125 / 1.125, 0.5 / 0.9, 0, 0.3 / 0.9]),
        (1.0, [0.1, 0.5, 0.1, 0.3]),
    ],
)
def test_top_p_keeps_the_smallest_set_that_reaches_p(top_p: float, expected: list[float]) -> None:
    found = rounded(law(logits(0.1, 0.5, 0.1, 0.3), top_p=top_p))
    assert found == pytest.approx(expected, abs=1e-9)


def test_top_p_follows_top_k_and_the_temperature() -> None:
    # 0.6, 0.3, 0.1 squared: 0.36, 0.09, 0.01; of the two kept 0.36 is 0.8.
    found = law(logits(0.6, 0.3, 0.1), temperature=0.5, top_k=2, top_p=0.79)
    assert rounded(found) == [1, 0, 0]


def test_draws_invert_the_cumulated_law() -> None:
    probs_MV = torch.tensor([[0.25, 0.0, 0.5, 0.25]], dtype=torch.float64).expand(6, -1)
    uniform_M = torch.tensor([0.0, 0.2499, 0.25, 0.7499, 0.75, 1 - 2**-53], dtype=torch.float64)
    assert draw(probs_MV, uniform_M).tolist() == [0, 0, 2, 2, 3, 3]


def test_a_token_without_probability_is_never_drawn() -> None:
    probs_MV = torch.tensor([[0.0, 0.1, 0.2, 0.0]], dtype=torch.float64).expand(2, -1)
    # A total that rounding has put under 1, and the largest number that there is.
    uniform_M = torch.tensor([0.0, 1 - 2**-53], dtype=torch.float64)
    assert draw(probs_MV, uniform_M).tolist() == [1, 2]


def test_noise_reaches_the_tail_that_float32_cuts_off() -> None:
    uniform = Noise(0, 1).uniform(200_000)
    assert uniform.dtype == torch.float64
    assert 0 <= uniform.min() < uniform.max() < 1
    # In float32 all of them would be multiples of 2^-24.
    assert (uniform * 2**24 != (uniform * 2**24).round()).float().mean() > 0.999
    assert abs(float(uniform.mean()) - 0.5) < 0.005


def test_noise_belongs_to_the_text() -> None:
    four, one = Noise(3, 4), Noise(3, 1, first_text=2)
    four.uniform(5)
    one.uniform(5)
    assert torch.equal(four.uniform(7)[2:3], one.uniform(7))
    assert not torch.equal(Noise(4, 1).uniform(7), Noise(3, 1).uniform(7))
