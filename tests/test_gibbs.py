"""Chains over tables: what they converge to is known."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import scipy.stats
import torch

from scaling.generation.gibbs import GIBBS, visits
from scaling.generation.metropolis_hastings import METROPOLIS_HASTINGS, energy, log_acceptance
from scaling.generation.sampler import GenerationError, Sampler, Settings
from scaling.tokenizer import FIRST_TEXT_ID
from tests.table_reader import (
    FIRST_GIVEN_SECOND,
    JOINT,
    SECOND_GIVEN_FIRST,
    TableReader,
    counts,
    table_task,
)

N_TEXTS = 5_000
# What the normalised energy of two tokens stands for: the product of both conditionals.
PRODUCT = FIRST_GIVEN_SECOND * SECOND_GIVEN_FIRST
PRODUCT = PRODUCT / PRODUCT.sum()


def p_value(sampler: Sampler, law: np.ndarray, **settings: object) -> float:
    """Of the chi-square test that finished texts come from `law`."""
    task, ids_BT = table_task(N_TEXTS, **settings)
    *_, final_BT = sampler.steps(task, ids_BT)
    expected = law.reshape(-1) * N_TEXTS
    return float(scipy.stats.chisquare(counts(final_BT), expected).pvalue)


def test_gibbs_converges_to_the_joint_from_a_wrong_start() -> None:
    assert p_value(GIBBS, JOINT, sweeps=0) < 1e-6
    assert p_value(GIBBS, JOINT, sweeps=15) > 0.01
    assert p_value(GIBBS, PRODUCT, sweeps=15) < 1e-6


def test_metropolis_hastings_converges_to_the_law_of_the_energy() -> None:
    assert p_value(METROPOLIS_HASTINGS, PRODUCT, sweeps=15) > 0.01
    assert p_value(METROPOLIS_HASTINGS, JOINT, sweeps=15) < 1e-6


def test_metropolis_hastings_at_a_temperature_samples_a_power_of_the_law() -> None:
    power = PRODUCT**0.5 / (PRODUCT**0.5).sum()
    assert p_value(METROPOLIS_HASTINGS, power, sweeps=15, temperature=2.0) > 0.01


def test_each_sweep_visits_each_place_once() -> None:
    task, _ = table_task(50)
    places_BT = torch.rand(50, 9, generator=torch.Generator().manual_seed(0)) < 0.5
    visited = torch.stack(list(visits(task, places_BT)))
    assert torch.equal(visited.sum(dim=0), places_BT.long())
    assert visited.sum(dim=2).max() == 1
    assert len({tuple(order) for order in visited.int().argmax(dim=2).T.tolist()}) > 10


def test_energies_by_hand() -> None:
    ids_BT = torch.tensor([[1, FIRST_TEXT_ID + 1, FIRST_TEXT_ID]])
    found = energy(TableReader(), ids_BT, "normalised")  # type: ignore[arg-type]
    # P(first = 1 | second = 0) = 0.02 / 0.37, P(second = 0 | first = 1) = 0.02 / 0.30
    assert found.tolist() == pytest.approx([-math.log(0.02 / 0.37) - math.log(0.02 / 0.30)])


def test_acceptance_by_hand() -> None:
    one = torch.ones(1, dtype=torch.float64)

    def accepted(energy: float, proposed: float, q: float, back: float, t: float) -> float:
        logs = (math.log(q) * one, math.log(back) * one)
        return math.exp(log_acceptance(energy * one, proposed * one, *logs, t).item())

    # exp(2 - 3) x 0.4 / 0.8
    assert accepted(2.0, 3.0, 0.8, 0.4, 1.0) == pytest.approx(0.5 * math.exp(-1))
    # exp((2 - 3) / 0.5) x 0.4 / 0.1
    assert accepted(2.0, 3.0, 0.1, 0.4, 0.5) == pytest.approx(4 * math.exp(-2))
    assert accepted(3.0, 2.0, 0.1, 0.4, 1.0) == 1.0


def test_moves_are_counted() -> None:
    task, ids_BT = table_task(500, sweeps=2)
    states = list(METROPOLIS_HASTINGS.steps(task, ids_BT))
    trace = task.trace
    assert trace.proposals == 500 * 2 * 2
    assert 0 < trace.moves < trace.accepted < trace.proposals
    changed = sum(int((a != b).sum()) for a, b in itertools.pairwise(states))
    assert changed <= trace.moves


def test_metropolis_hastings_needs_a_temperature() -> None:
    with pytest.raises(GenerationError, match="leaves metropolis_hastings no move"):
        METROPOLIS_HASTINGS.check(torch.zeros(1, 1), Settings(temperature=0))
