"""Tables that cannot carry a law, through the command: one line each, or a flag beside the fit."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from analysis import AnalysisError, load_table
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
    "negative losses": (lambda r: r.assign(loss=-r["loss"]), "no usable run; 19 such as loss_nats"),
    "out of range": (lambda r: r.assign(loss=1e200 * r["loss"]), "choose a unit that puts it"),
    "names of sizes": (lambda r: r.assign(N=[f"{n / 1e6:.0f}M" for n in r["N"]]),
                       "no value of column 'N' is a number, such as '4M'"),
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


# Files


def as_text() -> str:
    return planted_runs().to_csv(index=False)


WRITTEN: dict[str, bytes] = {
    "Windows, with a mark": b"\xef\xbb\xbf" + as_text().replace("\n", "\r\n").encode(),
    "semicolons": as_text().replace(",", ";").encode(),
    "tabs": as_text().replace(",", "\t").encode(),
    "decimal commas": as_text().replace(",", ";").replace(".", ",").encode(),
    "blank lines": as_text().replace("\n", "\n\n").encode(),
    "trailing commas": as_text().replace("\n", ",\n").replace("loss,", "loss").encode(),
    "names of rows, as R writes them": planted_runs().set_axis(
        range(1, 20)).to_csv().removeprefix(",").encode(),
    "spaces in the header": as_text().replace("N,D,C,loss", "N, D, C , Val Loss").encode(),
}  # fmt: skip


@pytest.mark.parametrize("case", WRITTEN)
def test_a_file_is_read_however_it_was_written(case: str, tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    path.write_bytes(WRITTEN[case])
    found = json.loads(fit(path, "--json").stdout)["fits"]["all runs"]
    path.write_text(as_text())
    plain = json.loads(fit(path, "--json").stdout)["fits"]["all runs"]
    assert found["n_runs"] == 19
    assert found["estimates"] == plain["estimates"]


BROKEN: dict[str, tuple[str, bytes, str]] = {
    "utf-16": ("runs.csv", as_text().encode("utf-16"), "runs.csv is not text in UTF-8"),
    "no gzip": ("runs.csv.gz", b"N,D,C,loss", "cannot be read (Not a gzipped file"),
    "a gzip that breaks off": ("runs.csv.gz", gzip.compress(as_text().encode())[:-12],
                               "ended before the end-of-stream marker"),
    "a workbook": ("runs.xlsx", b"PK\x03\x04", "runs.xlsx is no CSV; write its runs as .csv"),
    "empty": ("runs.csv", b"", "runs.csv is no CSV with a header"),
    "a name twice": ("runs.csv", as_text().replace("N,D,C", "N,N,C").encode(),
                     "runs.csv has several columns 'N'"),
    "a name too few": ("runs.csv", as_text().replace("N,D,C", "N,D").encode(),
                       "more cells than the header has names"),
    "a row too long": ("runs.csv", as_text().encode() + b"1,2,3,4,5\n", "Expected 4 fields"),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_a_file_that_is_no_table_is_told_in_one_line(case: str, tmp_path: Path) -> None:
    name, content, message = BROKEN[case]
    (tmp_path / name).write_bytes(content)
    result = fit(tmp_path / name)
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    assert message in line


def test_a_frame_with_a_column_twice_is_refused() -> None:
    runs = planted_runs()
    with pytest.raises(AnalysisError, match="several columns 'loss'"):
        load_table(pd.concat([runs, runs[["loss"]]], axis="columns"))


# Rows


def test_a_run_without_a_group_is_listed_and_in_none(tmp_path: Path) -> None:
    def change(runs: pd.DataFrame) -> pd.DataFrame:
        own = runs.assign(arch=np.where(runs.index % 2, "x", "y")).astype({"arch": object})
        own.loc[[3, 4], "arch"] = None
        return own

    result = fit(written(tmp_path, change), "--law", "compute")
    assert result.exit_code == 0, result.output
    for line in (5, 6):
        assert f"in no group: line {line}: no value of arch, by which the runs are" in result.stdout
    assert "== nan ==" not in result.stdout


def test_a_run_without_a_status_is_done(tmp_path: Path) -> None:
    def change(runs: pd.DataFrame) -> pd.DataFrame:
        return runs.assign(status=["failed" if i == 3 else None for i in runs.index])

    text = fit(written(tmp_path, change)).stdout
    assert "18 runs, 1 excluded" in text
    assert "1 x status failed (line 5)" in text


def test_units_of_their_own_are_noted(tmp_path: Path) -> None:
    path = written(tmp_path, lambda r: r.assign(N=r["N"] / 1e9, D=r["D"] / 1e9))
    assert "note: C is 1e+18 times 6ND in the median run" in fit(path).stdout
    assert "times 6ND" not in fit(written(tmp_path, lambda r: r)).stdout


# Doubtful fits


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
