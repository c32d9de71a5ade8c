"""Tables that cannot carry a law, through the command: one line each, or a flag beside the fit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from analysis.examples import LAW, planted_runs
from scaling.cli import main

Change = Callable[[pd.DataFrame], pd.DataFrame]


def scaling(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def fit(path: Path, *options: object) -> Result:
    return scaling("fit", path, "--n-boot", 0, *options)


def written(folder: Path, change: Change) -> Path:
    path = folder / "bad.csv"
    change(planted_runs()).to_csv(path, index=False)
    return path


def with_values(**cells: tuple[int, float]) -> Change:
    """One cell per column: (row, value)."""

    def change(runs: pd.DataFrame) -> pd.DataFrame:
        for column, (row, value) in cells.items():
            runs.loc[row, column] = value
        return runs

    return change


def on_a_ray(runs: pd.DataFrame) -> pd.DataFrame:
    n = np.geomspace(1e6, 1e9, 12)
    d = 20 * n
    loss = LAW["E"] + LAW["A"] / n ** LAW["alpha"] + LAW["B"] / d ** LAW["beta"]
    return pd.DataFrame({"N": n, "D": d, "C": 6 * n * d, "loss": loss})


def rising(runs: pd.DataFrame) -> pd.DataFrame:
    loss = 2 + LAW["B"] / runs["D"] ** LAW["beta"] + 0.05 * np.log(runs["N"] / 1e6)
    return runs.assign(loss=loss)


def two_kinds(runs: pd.DataFrame) -> pd.DataFrame:
    return runs.assign(loss_kind=np.where(runs.index % 2, "mlm", "clm"))


ERRORS: dict[str, tuple[Change, str]] = {
    "no loss": (lambda r: r.drop(columns="loss"), "no column is recognised as loss (--loss)"),
    "no N": (lambda r: r.drop(columns="N"), "N, the parameters (--n)"),
    "neither D nor C": (lambda r: r[["N", "loss"]], "D, the training tokens (--d), or C"),
    "two losses": (lambda r: r.assign(nll=r["loss"] + 1), "'loss', 'nll' could each be loss"),
    "text": (lambda r: r.astype({"D": object}).replace({"D": {r["D"][3]: "12B"}}),
             "line 5: D='12B' is not a number"),
    "a loss that is NaN": (with_values(loss=(3, np.nan)), "line 5: loss is NaN"),
    "fewer runs than parameters": (lambda r: r.iloc[[0, 5, 10, 15]],
                                   "4 runs for the 5 parameters of 'chinchilla'"),
    "two sizes": (lambda r: r[r["N"].isin([3.3e8, 1e9])], "2 distinct params_total"),
    "no rows": (lambda r: r.head(0), "bad.csv has no rows"),
    "no usable row": (lambda r: r.assign(loss=-1.0), "no usable run; 19 loss_nats is -1"),
    "two yardsticks": (two_kinds, "2 yardsticks (clm, mlm)"),
}  # fmt: skip


@pytest.mark.parametrize("case", ERRORS)
def test_a_table_without_a_law_is_told_in_one_line(case: str, tmp_path: Path) -> None:
    change, message = ERRORS[case]
    result = fit(written(tmp_path, change))
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert result.stdout == ""


FLAGS: dict[str, tuple[Change, str]] = {
    "one ray": (on_a_ray, "one_ray: all runs lie on one ray of tokens over parameters"),
    "a loss that rises with N": (rising, "loss_rises: the loss rises with params_total"),
    "as many runs as parameters": (lambda r: r.iloc[[0, 4, 9, 13, 18]], "no_freedom: 5 runs"),
    "a constant loss": (lambda r: r.assign(loss=2.0), "on_bound: A = 0 (lower)"),
}


@pytest.mark.parametrize("case", FLAGS)
def test_a_doubtful_fit_carries_its_flag(case: str, tmp_path: Path) -> None:
    change, message = FLAGS[case]
    path = written(tmp_path, change)
    result = fit(path)
    assert result.exit_code == 0, result.stderr
    assert message in result.stdout
    (found,) = json.loads(fit(path, "--json").stdout)["fits"].values()
    assert found["status"] in ("flagged", "failed")


def test_rows_that_are_left_out_are_named(tmp_path: Path) -> None:
    change = with_values(loss=(3, 0.0), N=(4, -1.0), D=(5, np.inf))
    path = written(tmp_path, lambda r: pd.concat([change(r), r.iloc[[7]]], ignore_index=True))
    text = fit(path).stdout
    # Line 1 is the header.
    for line in ("loss_nats is 0; it must be finite and positive (line 5)",
                 "params_total is -1; it must be finite and positive (line 6)",
                 "train_tokens is inf; it must be finite and positive (line 7)",
                 "duplicate of run line 9 (line 21)"):  # fmt: skip
        assert f"1 x {line}" in text
    (found,) = json.loads(fit(path, "--json").stdout)["fits"].values()
    assert found["n_runs"] + len(found["excluded"]) == 20


def test_many_runs_with_one_reason_are_counted(tmp_path: Path) -> None:
    def change(runs: pd.DataFrame) -> pd.DataFrame:
        return runs.assign(status=np.where(runs.index < 8, "diverged", "done"))

    text = fit(written(tmp_path, change)).stdout
    assert "8 x status diverged (line 2, line 3, line 4, line 5, line 6, line 7 and 2 more)" in text


def test_two_yardsticks_can_be_taken_apart(tmp_path: Path) -> None:
    path = written(tmp_path, lambda r: pd.concat([two_kinds(r)] * 2).assign(
        loss_kind=["mlm"] * len(r) + ["clm"] * len(r)))  # fmt: skip
    result = fit(path, "--by", "loss_kind")
    assert result.exit_code == 0, result.stderr
    assert "== mlm ==" in result.stdout
    assert "== clm ==" in result.stdout
