"""Coverage of the intervals over simulated studies; prints the tables of docs/coverage.md.

Run as `python -m tests.benchmarks.simulate_coverage --table printed --studies 1000`; `sizes` and
`rejected` are the other tables. A study is a grid of 6 sizes (in `sizes` more) by 5 token counts
whose losses follow a Chinchilla law with independent noise and, in most scenarios, an effect that
all runs of a size share, as an untuned learning rate leaves it.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from unittest import mock

import numpy as np
import pandas as pd

from analysis import bootstrap
from analysis.fit import Objective, fit_law

OBJECTIVES: tuple[Objective, ...] = ("huber", "ls")
NAMES = ("alpha", "beta", "a", "E")
Shares = dict[str, dict[str, float]]


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
    "first": Design(
        params=(5e7, 5e9), tokens=(1e9, 1e11),
        law={"E": 1.82, "A": 480.0, "alpha": 0.348, "B": 2085.0, "beta": 0.366},
    ),
    "second": Design(
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
    n_sizes: int = 6,
    cluster: str = "size",
    seed: int = 0,
) -> Shares:
    """Share of studies whose nominal 95 % interval holds the truth: method -> name -> share.

    The method "printed" is the widest, the one that a FitResult shows.
    """
    n = np.repeat(np.geomspace(*design.params, n_sizes), 5)
    d = np.tile(np.geomspace(*design.tokens, 5), n_sizes)
    law, truth = design.law, design.truth
    clean = law["E"] + law["A"] / n ** law["alpha"] + law["B"] / d ** law["beta"]
    rng = np.random.default_rng(seed)
    held: dict[str, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for study in range(n_studies):
        shared = np.repeat(rng.normal(0, 1, n_sizes), 5)
        noise = rng.normal(0, run_noise, n.size) + size_noise * shared
        table = pd.DataFrame({
            "params_non_embedding": n, "train_tokens": d, "loss_nats": clean * np.exp(noise),
        })  # fmt: skip
        fit = fit_law(table, objective=objective, n_boot=n_boot, cluster=cluster, seed=study)
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


def rows(shares: Shares, scenario: str, methods: Sequence[str] | None = None) -> None:
    """One row of a table per method."""
    for method, by_name in shares.items():
        if methods is None or method in methods:
            cells = " | ".join(f"{by_name[name]:.3f}" for name in NAMES)
            print(f"| {scenario} | {method} | {cells} |", flush=True)


def heads(*first: str) -> None:
    print(f"| {' | '.join((*first, *NAMES))} |")
    print("|" + "---|" * (len(first) + len(NAMES)))


def printed_table(n_studies: int) -> None:
    """The interval that a FitResult shows, and the two that it is the wider of."""
    heads("design, objective", "size effect", "studies", "interval")
    for label, objective, size_noise in product(DESIGNS, OBJECTIVES, (0.0, 0.002, 0.006)):
        is_main = DESIGNS[label] is WIDE and objective == OBJECTIVES[0]
        n = n_studies if is_main else n_studies // 4
        shares = simulate(DESIGNS[label], n_studies=n, size_noise=size_noise, objective=objective)
        rows(shares, f"{label}, {objective} | {100 * size_noise:.1f} % | {n}")


def sizes_table(n_studies: int) -> None:
    """Twenty sizes and more, where sizes are resampled."""
    heads("sizes", "objective", "studies", "interval")
    for n_sizes, objective in product((20, 30, 43), OBJECTIVES):
        shares = simulate(
            WIDE, n_studies=n_studies, size_noise=0.006, objective=objective, n_boot=300,
            n_sizes=n_sizes,
        )  # fmt: skip
        rows(shares, f"{n_sizes} | {objective} | {n_studies}", methods=("printed",))


def rejected_table(n_studies: int) -> None:
    """Resampling of runs, and of six sizes, which fit_law does not do by itself."""
    heads("objective", "size effect", "studies", "interval")
    for cluster, objective, size_noise in (
        ("run", "huber", 0.0), ("run", "huber", 0.006), ("run", "ls", 0.006),
        ("size", "huber", 0.0), ("size", "huber", 0.006), ("size", "ls", 0.006),
    ):  # fmt: skip
        # Below this many clusters fit_law simulates; at 0 it resamples the six sizes.
        with mock.patch.object(bootstrap, "MIN_CLUSTERS", 0):
            shares = simulate(
                WIDE, n_studies=n_studies, size_noise=size_noise, objective=objective,
                n_boot=400, cluster=cluster,
            )  # fmt: skip
        scenario = f"{objective} | {100 * size_noise:.1f} % | {n_studies}"
        rows(shares, scenario, methods=(f"bootstrap by {cluster}",))


TABLES = {"printed": printed_table, "sizes": sizes_table, "rejected": rejected_table}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", choices=TABLES, default="printed")
    help_text = "per row; in `printed` of the first design with huber, a quarter for the others"
    parser.add_argument("--studies", type=int, default=200, help=help_text)
    options = parser.parse_args()
    TABLES[options.table](options.studies)


if __name__ == "__main__":
    main()
