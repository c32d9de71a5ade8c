"""Next runs: the predicted gain is the real one, and the sweep files are valid."""

from __future__ import annotations

import dataclasses
import json
from importlib import resources
from pathlib import Path

import jsonschema
import numpy as np
import pandas as pd
import pytest
import yaml

import analysis
from analysis.errors import AnalysisError
from analysis.fit import fit_law
from analysis.next_runs import next_runs
from analysis.sweep_limits import SizeRule, SweepLimits, read_limits
from analysis.sweep_text import sweep_texts
from analysis.table import load_table
from tests.planted_runs import isoflop_frame, law_loss

SMALL = np.geomspace(4e6, 3e8, 5)


def _frame(seed: int = 0) -> pd.DataFrame:
    budgets = np.geomspace(1e17, 1e19, 4)
    return isoflop_frame(sizes=SMALL, budgets=budgets, noise=0.003, seed=seed)


def test_the_predicted_error_is_that_of_refits() -> None:
    exact = isoflop_frame(sizes=np.geomspace(4e6, 3e8, 7))
    table = load_table(isoflop_frame(sizes=np.geomspace(4e6, 3e8, 7), noise=0.001))
    fit = fit_law(table, objective="ls", n_boot=100)
    plan = next_runs(fit, table, 3e19, quantity="a")
    assert plan.standard_error_after < 0.85 * plan.standard_error_before
    assert plan.spent_flops <= 3e19
    sigma, cells = fit.noise["run"], plan.cells
    more = pd.DataFrame({"params_total": cells["params"], "tokens": cells["train_tokens"],
                         "flops": cells["train_flops"]})  # fmt: skip
    more["loss"] = law_loss(more["params_total"], more["tokens"])
    rng = np.random.default_rng(0)
    spreads = []
    for frame in (exact, pd.concat([exact, more])):
        found = []
        for _ in range(40):
            noisy = frame["loss"] * np.exp(sigma * rng.standard_normal(len(frame)))
            refit = fit_law(load_table(frame.assign(loss=noisy)), objective="ls", intervals=None)
            found.append(refit.value("a"))
        spreads.append(np.std(found))
    # 40 draws know their standard deviation to 11 %, and the design holds near the law fitted.
    assert spreads[0] == pytest.approx(plan.standard_error_before, rel=0.35)
    assert spreads[1] == pytest.approx(plan.standard_error_after, rel=0.35)


@pytest.mark.parametrize("quantity", ["a", "E", "all"])
def test_the_plan_is_no_worse_than_those_over_some_of_its_sizes(quantity: str) -> None:
    table = load_table(_frame())
    fit = fit_law(table, n_boot=100)
    plan = next_runs(fit, table, 3e19, quantity=quantity, max_cells=4)
    there = np.unique(table.values("n"))
    rng = np.random.default_rng(0)
    others = []
    for _ in range(30):
        some = {f"{n:g}": float(n) for n in rng.choice(there, 2, replace=False)}
        budget = 3e19 * rng.uniform(0.3, 1.0)
        one = next_runs(fit, table, budget, quantity=quantity, sizes=some, max_cells=4)
        others.append(one.standard_error_after)
    assert plan.standard_error_after <= min(others) * 1.02
    errors = plan.cells["standard_error"].to_numpy()
    assert (np.diff(errors) < 0).all()


def test_cells_are_affordable_new_and_within_the_tokens_per_parameter_of_the_table() -> None:
    table = load_table(_frame())
    plan = next_runs(fit_law(table, n_boot=100), table, 1e19)
    ratio = plan.cells["train_tokens"] / plan.cells["params"]
    there = table.values("d") / table.values("n")
    assert ratio.between(there.min() * 0.999, there.max() * 1.001).all()
    assert plan.cells["train_flops"].sum() <= 1e19
    pairs = set(zip(plan.cells["params"].round(), plan.cells["train_tokens"].round(), strict=True))
    known = set(zip(table.values("n").round(), table.values("d").round(), strict=True))
    assert not pairs & known


def test_a_shared_error_per_size_asks_for_new_sizes() -> None:
    frame = isoflop_frame(sizes=np.geomspace(4e6, 3e8, 8), noise=0.001)
    rng = np.random.default_rng(3)
    codes, _ = pd.factorize(frame["params_total"])
    frame["loss"] *= np.exp(0.01 * rng.standard_normal(codes.max() + 1))[codes]
    table = load_table(frame)
    fit = fit_law(table, n_boot=100)
    assert "size" in fit.noise
    old = {f"{n:g}": n for n in np.unique(table.values("n"))}
    new = {f"{n:g}": n for n in np.geomspace(5e6, 2.5e8, 8)}
    at_old = next_runs(fit, table, 1e20, quantity="alpha", sizes=old)
    at_new = next_runs(fit, table, 1e20, quantity="alpha", sizes=new)
    assert at_new.standard_error_after < at_old.standard_error_after
    alone = dataclasses.replace(fit, noise={"run": fit.noise["run"]})
    assert next_runs(alone, table, 1e20, quantity="alpha").standard_error_before == pytest.approx(
        at_old.standard_error_before / 3.5, rel=0.5
    )


def test_the_sweep_files_are_valid_wandb_grids_of_exactly_the_cells() -> None:
    table = load_table(_frame().assign(size=lambda f: f["params_total"].map("{:.0f}".format)))
    plan = next_runs(fit_law(table, n_boot=100), table, 1e19, max_cells=5)
    fixed = {"corpus": "stdlib_text", "tokenizer": "bytes", "seq_len": 128, "arch": ["decoder"],
             "peak_lr": 3e-05, "seed": [3, 4], "limits": {"min_steps": 100}}  # fmt: skip
    schema = json.loads((resources.files("scaling") / "sweep_schema.json").read_text())
    cells = set()
    for name, text in plan.sweep_files(fixed, name="next").items():
        config = yaml.safe_load(text)
        jsonschema.validate(config, schema)
        assert name == f"{config['name']}.yaml"
        parameters = config["parameters"]
        assert parameters["peak_lr"] == {"value": 3e-05}
        assert parameters["seed"] == {"values": [3, 4]}
        assert parameters["limits"] == {"value": {"min_steps": 100}}
        cells |= {(size, tokens) for size in parameters["size"]["values"]
                  for tokens in parameters["train_tokens"]["values"]}  # fmt: skip
    wanted = zip(plan.cells["size"], plan.cells["train_tokens"].astype(int), strict=True)
    assert cells == set(wanted)


@pytest.mark.parametrize(
    "value", [1e-05, 3.0, 1e15, 7, True, None, "1e-5", "yes", "files:a b", "bpe", 1.5e-300]
)
def test_values_survive_yaml(value: object) -> None:
    (text,) = sweep_texts({"25k": [1024]}, {"x": value}, name="next").values()
    read = yaml.safe_load(text)["parameters"]["x"]["value"]
    assert read == value
    assert type(read) is type(value)


def test_what_cannot_be_planned_says_why() -> None:
    table = load_table(_frame())
    fit = fit_law(table, n_boot=100)
    with pytest.raises(AnalysisError, match="quantity='c' is no number of the chinchilla law"):
        next_runs(fit, table, 1e19, quantity="c")
    with pytest.raises(AnalysisError, match="no cell costs less than 10¹⁰ FLOPs"):
        next_runs(fit, table, 1e10)
    with pytest.raises(AnalysisError, match="not in N and D alone"):
        next_runs(fit_law(table, "compute", n_boot=100), table, 1e19)
    with pytest.raises(AnalysisError, match="the table does not name its sizes; give sizes"):
        next_runs(fit, table, 1e19).sweep_files({}, name="next")
    rising = load_table(_frame().assign(loss=1 / _frame()["loss"]))
    with pytest.raises(AnalysisError, match="no run moves a at the fitted law"):
        next_runs(fit_law(rising, n_boot=100), rising, 1e19)
    with pytest.raises(AnalysisError, match="train_tokens follow from the cells"):
        sweep_texts({"25k": [1024]}, {"train_tokens": 1}, name="next")


def test_cells_that_the_sweep_would_exclude_are_not_proposed() -> None:
    source = Path(analysis.__file__).parent / "reference" / "quickstart"
    table = load_table(source).select(group="encoder")
    fit = fit_law(table, n_boot=100)
    limits = read_limits(source, table)
    assert limits is not None
    assert limits.bounds == {"min_steps": 250}
    free = next_runs(fit, table, 3e12, max_cells=4)
    steps = free.cells["train_tokens"] // 512
    assert (steps < 250).any()
    held = next_runs(fit, table, 3e12, max_cells=4, limits=limits)
    assert (held.cells["train_tokens"] // 512 >= 250).all()
    assert sum(held.left_out.values()) == held.left_out["min_steps=250"] + held.left_out.get(
        "room for the warm-up before the cool-down", 0
    )
    (flag,) = [flag for flag in held.flags if flag.code == "outside_limits"]
    assert f"{held.left_out['min_steps=250']} for min_steps=250" in flag.message
    with pytest.raises(AnalysisError, match="keeps to the sweep's limits"):
        next_runs(fit, table, 3e12, limits=dataclasses.replace(limits, bounds={"min_steps": 1e9}))


def test_limits_count_steps_and_tokens_per_parameter_as_the_sweep_does() -> None:
    rule = SizeRule(params_non_embedding=1e4, batch_tokens=100, warmup_tokens=800,
                    cooldown_share=0.2)  # fmt: skip
    limits = SweepLimits(bounds={"min_steps": 20, "max_tokens_per_param": 5.0}, sizes={"10k": rule})
    assert limits.broken("10k", 900) == "room for the warm-up before the cool-down"
    assert limits.broken("10k", 1999) == "min_steps=20"
    assert limits.broken("10k", 2000) == ""
    assert limits.broken("10k", 50001) == "max_tokens_per_param=5"
    assert limits.broken("unknown", 1) == ""
