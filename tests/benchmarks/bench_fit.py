"""Speed of fit_law against the usual way: a SciPy L-BFGS-B loop over 4,500 starts.

Run as `python -m tests.benchmarks.bench_fit` (needs the shared data; `--full` runs the loop over
all 4,500 starts instead of every 30th, whose time is then extrapolated, and said to be). The loop
is that of Besiroglu et al. 2024, arXiv:2404.10102: the same objective, the grid of starts of
Hoffmann et al. 2022, appendix D, and SciPy's defaults. It is timed with the numerical gradient of
those scripts and with the exact one.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import minimize

from analysis.fit import fit_law

DELTA = 1e-3
EVERY = 30
STARTS = list(
    product(
        np.arange(0.0, 30.0, 5.0), np.arange(0.0, 30.0, 5.0), np.arange(-1.0, 1.5, 0.5),
        np.arange(0.0, 2.5, 0.5), np.arange(0.0, 2.5, 0.5),
    )
)  # fmt: skip


def chinchilla() -> pd.DataFrame:
    """The 240 runs that the authors fit."""
    shared = Path(os.environ.get("SCALING_SHARED", Path(__file__).parents[3] / "shared"))
    table = pd.read_csv(shared / "data/laws/chinchilla_epoch/chinchilla_245.csv")
    return table[table["loss"] < table["loss"].sort_values().iloc[-5]].reset_index(drop=True)


def stated_objective(table: pd.DataFrame) -> Callable[[np.ndarray], tuple[float, np.ndarray]]:
    """Sum of Huber's loss and its gradient, over (ln A, ln B, ln E, alpha, beta)."""
    log_n, log_d, log_loss = (np.log(table[name].to_numpy()) for name in ("N", "D", "loss"))

    def value_and_gradient(theta: np.ndarray) -> tuple[float, np.ndarray]:
        a, b, e, alpha, beta = theta
        logs = np.stack([a - alpha * log_n, b - beta * log_d, np.full_like(log_n, e)])
        top = logs.max(axis=0)
        terms = np.exp(logs - top)
        total = terms.sum(axis=0)
        residual = log_loss - top - np.log(total)
        size = np.abs(residual)
        rho = np.where(size <= DELTA, 0.5 * residual**2, DELTA * (size - 0.5 * DELTA))
        pull = -np.clip(residual, -DELTA, DELTA) * terms / total
        gradient = [*pull.sum(axis=1), -(pull[0] * log_n).sum(), -(pull[1] * log_d).sum()]
        return float(rho.sum()), np.array(gradient)

    return value_and_gradient


def seconds(task: Callable[[], object], repeats: int = 1) -> float:
    """Least wall seconds of `repeats` calls."""
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        task()
        times.append(time.perf_counter() - begin)
    return min(times)


def loop_seconds(
    table: pd.DataFrame, *, exact_gradient: bool, every: int
) -> tuple[float, np.ndarray]:
    """Seconds over all starts (extrapolated from every k-th), and the objectives they end at."""
    objective = stated_objective(table)
    found = []

    def loop() -> None:
        for start in STARTS[::every]:
            if exact_gradient:
                ended = minimize(objective, start, jac=True, method="L-BFGS-B")
            else:
                ended = minimize(lambda t: objective(t)[0], start, method="L-BFGS-B")
            found.append(float(ended.fun))

    spent = seconds(loop)
    return spent * len(STARTS) / len(STARTS[::every]), np.array(found)


def many_runs(n: int) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    params, tokens = 10 ** rng.uniform(7, 10, n), 10 ** rng.uniform(9, 12, n)
    loss = (1.82 + 480 / params**0.348 + 2085 / tokens**0.366) * np.exp(rng.normal(0, 0.004, n))
    return pd.DataFrame({"N": params, "D": tokens, "loss": loss})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="run the loop over all 4,500 starts")
    every = 1 if parser.parse_args().full else EVERY
    table = chinchilla()
    columns = {"n": "N", "d": "D", "loss": "loss"}
    fit_law(table, **columns, intervals=None)  # imports
    ours = seconds(lambda: fit_law(table, **columns, intervals=None), repeats=7)
    value = fit_law(table, **columns, intervals=None).objective_value
    print(f"fit_law, Chinchilla 240 runs: {ours:.3f} s, objective {value:.12f}")
    how = "measured" if every == 1 else f"extrapolated from {len(STARTS[::every])} starts"
    for name, exact in (("numerical gradient", False), ("exact gradient", True)):
        loop, ends = loop_seconds(table, exact_gradient=exact, every=every)
        least = float(np.nanmin(ends))
        arrived = float(np.mean(ends < value * (1 + 1e-4)))
        print(
            f"L-BFGS-B x {len(STARTS)}, {name}: {loop:.1f} s ({how}), objective {least:.12f}, "
            f"reached by {arrived:.0%} of the starts; fit_law is {loop / ours:.0f} times faster"
        )
    boot = seconds(lambda: fit_law(table, **columns, n_boot=4000, cluster="run"))
    print(f"fit_law with 4000 bootstraps by run and profiles: {boot:.2f} s")
    for n in (1_000, 10_000, 100_000):
        plain = seconds(lambda n=n: fit_law(many_runs(n), **columns, intervals=None))
        full = seconds(lambda n=n: fit_law(many_runs(n), **columns))
        print(f"fit_law, {n} runs: {plain:.2f} s; with intervals {full:.2f} s")


if __name__ == "__main__":
    main()
