"""The rules from size to hyper-parameters."""

from __future__ import annotations

import itertools

import pytest

from scaling.models import DEFAULT_OBJECTIVE
from scaling.recipe import LEARNING_RATES, recipe


def test_every_architecture_has_a_rule_for_its_objective() -> None:
    assert set(DEFAULT_OBJECTIVE.values()) <= LEARNING_RATES.keys()


@pytest.mark.parametrize("objective", LEARNING_RATES)
def test_larger_models_get_no_larger_rates(objective: str) -> None:
    rates = [recipe(n, objective, 64).peak_lr for n in (10**3, 10**4, 10**5, 10**6, 10**8)]
    assert all(small >= large for small, large in itertools.pairwise(rates))
    assert rates[0] <= LEARNING_RATES[objective].ceiling
    assert rates[-1] < rates[0]


def test_the_rule_passes_through_its_anchor() -> None:
    rule = LEARNING_RATES["clm"]
    assert rule.peak_lr(100_000) == pytest.approx(min(rule.at_100k, rule.ceiling), rel=0.01)


def test_a_bias_by_distance_lets_masked_models_learn_faster() -> None:
    for objective, faster in (("clm", False), ("mlm", True), ("diffusion", True)):
        plain, biased = (
            recipe(100_000, objective, 64, bias).peak_lr for bias in ("none", "relative")
        )
        assert (biased > plain) is faster


def test_batches_are_whole_sequences() -> None:
    rule = recipe(100_000, "clm", 96)
    assert rule.batch_tokens % 96 == 0
    assert rule.warmup_tokens % rule.batch_tokens == 0


def test_an_objective_without_a_rule_is_named() -> None:
    with pytest.raises(ValueError, match=r"objective='rtd' .* give peak_lr in the sweep"):
        recipe(100_000, "rtd", 64)
