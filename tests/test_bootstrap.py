"""Bootstrap: published standard errors, what a cluster is, and coverage over simulated studies."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis import bootstrap as module
from analysis.bootstrap import _resample
from analysis.fit import fit_law
from analysis.inputs import read_runs
from analysis.laws import LAWS
from analysis.variance import variance_components
from tests.benchmarks.simulate_coverage import WIDE, simulate


def planted(n_sizes: int, seed: int, *, run_noise: float = 0.004, size_noise: float = 0.0,
            n_seeds: int = 1) -> pd.DataFrame:  # fmt: skip
    n, d, seeds = (
        axis.ravel()
        for axis in np.meshgrid(
            np.geomspace(5e7, 5e9, n_sizes), np.geomspace(1e9, 1e11, 5), range(n_seeds),
            indexing="ij",
        )
    )  # fmt: skip
    rng = np.random.default_rng(seed)
    shared = np.repeat(rng.normal(0, size_noise, n_sizes), 5 * n_seeds)
    loss = 1.82 + 480 / n**0.348 + 2085 / d**0.366
    return pd.DataFrame({
        "params_non_embedding": n, "train_tokens": d, "seed": seeds,
        "loss_nats": loss * np.exp(shared + rng.normal(0, run_noise, n.size)),
    })  # fmt: skip


def errors(table: pd.DataFrame, **options: object) -> dict[str, float]:
    fit = fit_law(table, **options)  # type: ignore[arg-type]
    return {name: float(e.standard_error or np.nan) for name, e in fit.estimates.items()}


def test_chinchilla_by_run_as_published(shared_data: Path) -> None:
    """Besiroglu et al. 2024, 4000 resamples of 240 runs."""
    table = pd.read_csv(shared_data / "laws/chinchilla_epoch/chinchilla_245.csv")
    table = table[table["loss"] < table["loss"].sort_values().iloc[-5]]
    fit = fit_law(table, n="N", d="D", loss="loss", cluster="run", n_boot=4000)
    published = {"E": 0.026, "A": 123.0, "alpha": 0.0154, "B": 1315.0, "beta": 0.021}
    for name, value in published.items():
        assert fit.estimate(name).standard_error == pytest.approx(value, rel=0.1), name
    for name, ends in {"alpha": (0.317, 0.372), "beta": (0.331, 0.415)}.items():
        [interval] = [i for i in fit.estimate(name).intervals if i.method == "bootstrap by run"]
        assert (interval.low, interval.high) == pytest.approx(ends, abs=0.003)
        assert fit.estimate(name).interval == interval  # wider than the profile
        assert interval.n_draws == 4000


def test_copies_of_a_size_add_runs_but_no_sizes() -> None:
    table = planted(24, 0, size_noise=0.006)
    twice = pd.concat([table, table], ignore_index=True)
    once = errors(table, cluster="size", n_boot=400)
    again = errors(twice, cluster="size", n_boot=400)
    by_run = errors(table, cluster="run", n_boot=400), errors(twice, cluster="run", n_boot=400)
    assert again["alpha"] == pytest.approx(once["alpha"], rel=0.02)
    assert by_run[1]["alpha"] == pytest.approx(by_run[0]["alpha"] / np.sqrt(2), rel=0.15)


@pytest.mark.slow
@pytest.mark.parametrize("size_noise", [0.0, 0.006])
def test_draws_spread_as_the_fits_of_repeated_studies(size_noise: float) -> None:
    """24 sizes: the standard error by size against the spread of 60 studies.

    A spread of 60 is itself known to 9 %, a mean of 6 standard errors to about as much.
    """
    studies = [planted(24, seed, size_noise=size_noise) for seed in range(60)]
    fits = [fit_law(study, objective="ls", intervals=None) for study in studies]
    spread = {x: float(np.std([fit.value(x) for fit in fits])) for x in ("alpha", "beta", "E")}
    made = [errors(study, objective="ls", n_boot=200) for study in studies[:6]]
    for name, value in spread.items():
        mean = float(np.mean([error[name] for error in made]))
        assert mean == pytest.approx(value, rel=0.3), name


def test_few_sizes_are_simulated_and_hold_the_size_effect() -> None:
    quiet, loud = (fit_law(planted(6, 2, size_noise=x), n_boot=400) for x in (0.0, 0.02))
    for fit in (quiet, loud):
        assert fit.draws_method == "bootstrap by size, simulated"
        assert fit.n_clusters == 6
    assert "size" in loud.noise
    assert loud.noise["size"] == pytest.approx(0.02, rel=0.6)  # from 3 degrees of freedom
    assert loud.noise["run"] == pytest.approx(0.004, rel=0.4)
    widths = [float(np.ptp(fit.draws[:, 3])) for fit in (quiet, loud) if fit.draws is not None]
    assert widths[1] > 3 * widths[0]


def test_variance_components_are_unbiased() -> None:
    """Two nested levels and runs against planted variances, over 1,500 tables."""
    rng = np.random.default_rng(0)
    size, branch = np.repeat(np.arange(6), 15), np.repeat(np.arange(18), 5)
    x = np.tile(np.arange(5.0), 18)
    slopes = np.stack([np.ones(90), size, size**2.0, x], axis=1)
    truth = np.array([0.36, 0.25, 0.16])
    found = []
    for _ in range(1500):
        error = (
            np.sqrt(truth[0]) * rng.normal(size=6)[size]
            + np.sqrt(truth[1]) * rng.normal(size=18)[branch]
            + np.sqrt(truth[2]) * rng.normal(size=90)
        )
        components = variance_components(slopes, error, np.ones(90), (size, branch))
        assert components is not None
        full = np.zeros(3)
        kept = [i for i, ids in enumerate((size, branch))
                if any(ids is level for level in components.levels)]  # fmt: skip
        full[[*kept, 2]] = components.variances
        found.append(full)
    # A level left out for a variance below 0 biases the others a little upwards.
    assert np.mean(found, axis=0) == pytest.approx(truth, rel=0.1)


def test_components_of_a_mean_have_its_degrees_of_freedom() -> None:
    """A balanced one-way layout: the mean's variance is that of cluster means, G - 1 freedom."""
    rng = np.random.default_rng(1)
    ids = np.repeat(np.arange(8), 4)
    error = rng.normal(size=8)[ids] + 0.3 * rng.normal(size=32)
    components = variance_components(np.ones((32, 1)), error, np.ones(32), (ids,))
    assert components is not None
    variance, freedom = components.of_linear(np.full(32, 1 / 32), np.ones(32))
    means = error.reshape(8, 4).mean(axis=1)
    assert variance == pytest.approx(means.var(ddof=1) / 8, rel=1e-9)
    assert freedom == pytest.approx(7.0, rel=1e-6)


def test_two_level_resamples_keep_sizes_and_seeds_together() -> None:
    table = planted(24, 0, n_seeds=3)
    none = dict.fromkeys(("n", "d", "c", "u", "loss"))
    runs = read_runs(table, LAWS["chinchilla"], columns=none, cluster="seed", weights=None)
    counts = _resample(runs, 50, np.random.default_rng(0))
    sizes, seeds = runs.clusters
    assert (counts.sum(axis=1) == runs.n_runs).all()
    for branch in np.unique(seeds):
        assert (np.ptp(counts[:, seeds == branch], axis=1) == 0).all()
    of_size = np.stack([counts[:, sizes == size].sum(axis=1) for size in range(24)], axis=1)
    assert (of_size % 15 == 0).all()  # whole sizes of 15 runs
    assert (np.ptp(counts[:, sizes == 0], axis=1) > 0).any()  # but not all seeds alike


@pytest.mark.parametrize("n_sizes", [6, 40])
def test_large_tables_take_one_step_with_the_same_spread(
    n_sizes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = pd.concat([planted(n_sizes, seed) for seed in range(12)], ignore_index=True)
    refitted = errors(table, objective="ls", n_boot=400)
    monkeypatch.setattr(module, "_MAX_REFIT", 0)
    stepped = errors(table, objective="ls", n_boot=400)
    for name, value in refitted.items():
        assert stepped[name] == pytest.approx(value, rel=0.2), name


def test_seed_decides_the_draws() -> None:
    table = planted(6, 0)
    one, same, other = (fit_law(table, n_boot=100, seed=seed).draws for seed in (0, 0, 1))
    assert one is not None
    assert other is not None
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


@pytest.mark.slow
@pytest.mark.parametrize(("size_noise", "least", "most"), [(0.0, 0.92, 0.98), (0.006, 0.90, 1.0)])
def test_coverage_of_the_printed_interval(size_noise: float, least: float, most: float) -> None:
    """200 studies each; docs/coverage.md has the table of 1,000."""
    shares = simulate(WIDE, n_studies=200, size_noise=size_noise, seed=0)["printed"]
    for name, share in shares.items():
        assert least <= share <= most, (name, shares)
