"""Coverage of the printed intervals over simulated studies; prints the table of docs/coverage.md.

Run as `python -m tests.benchmarks.simulate_coverage --studies 1000`. A study is a grid of 6 sizes
by 5 token counts whose losses follow a Chinchilla law with independent noise and, in half of the
scenarios, an effect that all runs of a size share, as an untuned learning rate leaves it.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd

from analysis.fit import Objective, fit_law

OBJECTIVES: tuple[Objective, ...] = ("huber", "ls")
NAMES = ("alpha", "beta", "a", "E")


@dataclass(frozen=True, kw_only=True)
class Design:
    """The grid of a study and the law that is true for it."""

    params: tuple[float, float]
    tokens: tuple[float, float]
    law: dict[str, float]

    @property
    def truth(self) -> dict[str, float]:
        law = self.law
        return {**law, "a": law["beta"] / (law["alpha"] + law["beta"])}


DESIGNS = {
    "5e7 to 5e9 params, 1e9 to 1e11 tokens": Design(
        params=(5e7, 5e9), tokens=(1e9, 1e11),
        law={"E": 1.82, "A": 480.0, "alpha": 0.348, "B": 2085.0, "beta": 0.366},
    ),
    "25e3 to 3e6 params, 1e6 to 1e8 tokens": Design(
        params=(25e3, 3e6), tokens=(1e6, 1e8),
        law={"E": 1.2, "A": 18.0, "alpha": 0.30, "B": 60.0, "beta": 0.28},
    ),
}  # fmt: skip
WIDE = next(iter(DESIGNS.values()))


def simulate(
    design: Design,
    *,
    n_studies: int,
    run_noise: float = 0.004,
    size_noise: float = 0.0,
    objective: Objective = "huber",
    n_boot: int = 1000,
    seed: int = 0,
) -> dict[str, dict[str, float]]:
    """Share of studies whose nominal 95 % interval holds the truth: method -> name -> share.

    The method "printed" is the widest, the one that a FitResult shows.
    """
    n = np.repeat(np.geomspace(*design.params, 6), 5)
    d = np.tile(np.geomspace(*design.tokens, 5), 6)
    law, truth = design.law, design.truth
    clean = law["E"] + law["A"] / n ** law["alpha"] + law["B"] / d ** law["beta"]
    rng = np.random.default_rng(seed)
    held: dict[str, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for study in range(n_studies):
        noise = rng.normal(0, run_noise, n.size) + size_noise * np.repeat(rng.normal(0, 1, 6), 5)
        table = pd.DataFrame({
            "params_non_embedding": n, "train_tokens": d, "loss_nats": clean * np.exp(noise),
        })  # fmt: skip
        fit = fit_law(table, objective=objective, n_boot=n_boot, seed=study)
        for name in NAMES:
            estimate = fit.estimate(name)
            assert estimate.interval is not None
            for interval in estimate.intervals:
                method = interval.method.split(" with ")[0]
                held[method][name].append(interval.low <= truth[name] <= interval.high)
            printed = estimate.interval
            held["printed"][name].append(printed.low <= truth[name] <= printed.high)
    return {
        method: {name: float(np.mean(inside)) for name, inside in by_name.items()}
        for method, by_name in held.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    help_text = "studies of the first design with the default objective; a quarter for the others"
    parser.add_argument("--studies", type=int, default=200, help=help_text)
    n_studies = parser.parse_args().studies
    print(f"| design | objective | size effect | studies | interval | {' | '.join(NAMES)} |")
    print("|---|---|---|---|---|" + "---|" * len(NAMES))
    scenarios = product(DESIGNS, OBJECTIVES, (0.0, 0.002, 0.006))
    for label, objective, size_noise in scenarios:
        is_main = DESIGNS[label] is WIDE and objective == OBJECTIVES[0]
        n = n_studies if is_main else n_studies // 4
        shares = simulate(DESIGNS[label], n_studies=n, size_noise=size_noise, objective=objective)
        for method, by_name in shares.items():
            cells = " | ".join(f"{by_name[name]:.3f}" for name in NAMES)
            scenario = f"{label} | {objective} | {100 * size_noise:.1f} % | {n}"
            print(f"| {scenario} | {method} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
