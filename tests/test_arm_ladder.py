"""Arms at equal compute, tokens or targets, on losses that follow planted laws."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analysis.questions.arm_ladder import frontier_points, gap, multiples, slopes

SIZES = {"14k": 1.4e4, "25k": 2.5e4, "55k": 5.5e4}
BUDGETS = (1e11, 2e11, 4e11, 8e11)


def runs(arms: dict[str, tuple[float, float]], *, budgets: tuple[float, ...] = BUDGETS,
         seeds: tuple[int, ...] = (0, 1)) -> pd.DataFrame:  # fmt: skip
    """arm -> (factor of compute that it wastes, share of its tokens that give a loss)."""
    rows = []
    for arm, (waste, share) in arms.items():
        for seed in seeds:
            for size, n in SIZES.items():
                for c in budgets:
                    d = c / (6 * n)
                    loss = 1.0 + (n / 1e3) ** -0.5 + 40 * (d / waste) ** -0.3 + 0.01 * seed
                    rows.append({
                        "arm": arm, "seed": seed, "size": size, "budget_flops": c,
                        "train_flops": c, "train_flops_6nd": c, "train_tokens": d,
                        "tokens_predicted": share * d, "bits_per_byte": loss,
                    })  # fmt: skip
    return pd.DataFrame(rows)


def test_the_best_size_of_each_budget_stands_on_the_frontier() -> None:
    frame = runs({"clm": (1.0, 1.0)})
    points = frontier_points(frame)
    assert len(points) == 2 * len(BUDGETS)
    for _, point in points.iterrows():
        same = frame[(frame["seed"] == point["seed"]) & (frame["train_flops"] == point["compute"])]
        assert point["loss"] == same["bits_per_byte"].min()
    larger = points[points["seed"] == 0]["size"].map(SIZES)
    assert larger.is_monotonic_increasing


def test_a_gap_is_taken_where_both_have_runs() -> None:
    frame = runs({"clm": (1.0, 1.0), "clm-15": (4.0, 0.15)})
    at_flops = gap(frame, "clm-15", "clm", "exact FLOPs")
    assert at_flops is not None
    assert at_flops.at == BUDGETS[-1]
    best = frame.groupby(["arm", "budget_flops", "seed"])["bits_per_byte"].min()
    expected = best["clm-15", 8e11, 0] - best["clm", 8e11, 0]
    assert at_flops.by_seed == pytest.approx({0: expected, 1: expected})
    # 15 % of 8 times the tokens is more than all of the fewest, and less than all of the most.
    at_targets = gap(frame, "clm-15", "clm", "predicted targets")
    assert at_targets is not None
    for size in SIZES.values():
        assert 0.15 * 8e11 / (6 * size) > 1e11 / (6 * size)
    assert at_targets.by_seed[0] < at_flops.by_seed[0]


def test_runs_without_a_range_in_common_have_no_gap() -> None:
    frame = runs({"clm": (1.0, 1.0), "clm-15": (4.0, 0.01)})
    assert gap(frame, "clm-15", "clm", "predicted targets") is None
    assert gap(frame, "mlm-15", "clm", "tokens") is None


def test_wasted_tokens_show_as_a_multiple_of_compute() -> None:
    frame = runs({"clm": (1.0, 1.0)}, budgets=tuple(np.geomspace(1e10, 1e12, 9)))
    late = runs({"mlm-15": (1.0, 0.15)})
    # The same losses at 4 times the compute.
    late["train_flops"] *= 4
    found = multiples(pd.concat([frame, late], ignore_index=True))
    assert {m.arm for m in found} == {"mlm-15"}
    for m in found:
        assert m.bound == ""
        assert m.value == pytest.approx(4.0, rel=0.05)


def test_beyond_the_runs_of_the_reference_there_is_only_a_bound() -> None:
    worse = runs({"mlm-15": (1.0, 0.15)})
    worse["bits_per_byte"] += 100
    better = runs({"mlm-15": (1.0, 0.15)})
    better["bits_per_byte"] -= 0.9
    for arm, bound, end in ((worse, "lower", BUDGETS[0]), (better, "upper", BUDGETS[-1])):
        found = multiples(pd.concat([runs({"clm": (1.0, 1.0)}), arm], ignore_index=True))
        assert {m.bound for m in found} == {bound}
        assert found[0].value == pytest.approx(found[0].flops / end)


def test_slopes_are_exponents() -> None:
    x = np.array([1.0, 10.0, 100.0])
    points = pd.DataFrame({"seed": [3] * 3 + [4], "x": [*x, 1.0], "y": [*(5 * x**-0.2), 1.0]})
    assert slopes(points, "x", "y") == pytest.approx({3: -0.2})
