"""The commands that read tables: from a sweep, its name or a CSV; errors in one line."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from analysis.commands import plot as plot_command
from analysis.commands.fit import LAWS as LAW_CHOICES
from analysis.commands.plot import FIGURES as FIGURE_CHOICES
from analysis.laws import LAWS
from analysis.plots.figures import FIGURES
from scaling.cli import COMMANDS, main
from tests.planted_runs import LAW, isoflop_frame
from tests.planted_sweep import write_sweep

ROOT = Path(__file__).parents[1]
OWN = ("fit", "compare", "plot", "report", "predict")


def scaling(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def assert_one_line(result: Result, *messages: str) -> None:
    assert result.exit_code == 2, result.output
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("error: ")
    for message in messages:
        assert message in lines[0]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs")
    write_sweep(path)
    return path


@pytest.fixture(scope="module")
def csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A noiseless planted law under the names that a foreign table may use."""
    frame = isoflop_frame(ratio=(0.1, 1e4))[["params_total", "tokens", "flops", "loss"]]
    path = tmp_path_factory.mktemp("csv") / "runs.csv"
    frame.set_axis(["N", "D", "C", "loss"], axis="columns").to_csv(path, index=False)
    return path


def test_fit_finds_the_planted_law_of_a_csv(csv: Path) -> None:
    result = scaling("fit", csv, "--n-boot", 0, "--json")
    assert result.exit_code == 0, result.stderr
    (fit,) = json.loads(result.stdout)["fits"].values()
    for name, value in LAW.items():
        assert fit["estimates"][name]["value"] == pytest.approx(value, rel=1e-3)


def test_fit_takes_a_folder_a_name_and_columns(root: Path) -> None:
    by_folder = scaling("fit", root / "planted", "--n-boot", 0)
    by_name = scaling("fit", "planted", "--root", root, "--n-boot", 0)
    assert by_folder.exit_code == 0, by_folder.stderr
    assert by_folder.stdout == by_name.stdout
    assert by_folder.stdout.index("== encoder ==") < by_folder.stdout.index("== decoder ==")
    assert "1 x status diverged: loss is NaN at step 412" in by_folder.stdout
    other = scaling("fit", "planted", "--root", root, "--n-boot", 0, "--n", "params_non_embedding")
    assert "N = params_non_embedding" in other.stdout


def test_groups_of_a_sweep_by_another_column(root: Path) -> None:
    arguments = ("fit", "planted", "--root", root, "--n-boot", 0, "--law", "compute")
    result = scaling(*arguments, "--by", "size", "--loss", "bits_per_byte")
    assert result.exit_code == 0, result.stderr
    assert "== 25k ==" in result.stdout
    assert_one_line(scaling(*arguments, "--by", "colour"), "no column 'colour' (--by)")


def test_rows_of_a_csv_are_chosen(csv: Path, tmp_path: Path) -> None:
    frame = pd.read_csv(csv)
    both = pd.concat([frame.assign(corpus="a"), frame.assign(corpus="b", loss=frame["loss"] + 1)])
    path = tmp_path / "both.csv"
    both.to_csv(path, index=False)
    chosen = scaling("fit", path, "--where", "corpus=b", "--n-boot", 0, "--json")
    (fit,) = json.loads(chosen.stdout)["fits"].values()
    assert fit["estimates"]["E"]["value"] == pytest.approx(LAW["E"] + 1, rel=1e-3)
    assert_one_line(scaling("fit", path, "--where", "corpus"), "is not COL=VALUE")


def test_predict_gives_the_planted_optimum_and_its_distance(csv: Path) -> None:
    budget = 1e23
    result = scaling("predict", csv, "--flops", budget, "--n-boot", 100, "--json")
    assert result.exit_code == 0, result.stderr
    (row,) = json.loads(result.stdout)["predictions"]
    # Hoffmann et al. 2022, equation 4: N* = G (C / 6)^a with a = beta / (alpha + beta).
    total = LAW["alpha"] + LAW["beta"]
    scale = (LAW["alpha"] * LAW["A"] / (LAW["beta"] * LAW["B"])) ** (1 / total)
    best = scale * (budget / 6) ** (LAW["beta"] / total)
    assert row["params_opt"]["value"] == pytest.approx(best, rel=0.01)
    assert row["tokens_opt"]["value"] == pytest.approx(budget / 6 / best, rel=0.01)
    assert row["decades_beyond_the_runs"] == pytest.approx(3, abs=0.01)


def test_predict_a_run(csv: Path) -> None:
    arguments = ("--params", 1e8, "--tokens", 2e9, "--n-boot", 100)
    row = json.loads(scaling("predict", csv, *arguments, "--json").stdout)["predictions"][0]
    planted = LAW["E"] + LAW["A"] / 1e8 ** LAW["alpha"] + LAW["B"] / 2e9 ** LAW["beta"]
    assert row["loss"]["value"] == pytest.approx(planted, rel=1e-4)
    assert "within the range of the runs" in scaling("predict", csv, *arguments).stdout


def test_predict_counts_flops_as_the_table_does(root: Path) -> None:
    arguments = ("predict", "planted", "--root", root, "--flops", 1e15, "--n-boot", 100, "--json")
    rows = json.loads(scaling(*arguments).stdout)["predictions"]
    assert [row["group"] for row in rows] == ["encoder", "decoder"]
    assert [row["yardstick"] for row in rows] == ["mlm@0.15", "clm"]
    for row in rows:
        spent = 6 * row["params_opt"]["value"] * row["tokens_opt"]["value"]
        assert spent == pytest.approx(1e15, rel=1e-3)
        assert row["decades_beyond_the_runs"] == pytest.approx(math.log10(1e15 / 3.2e13), abs=0.01)
        assert row["loss"]["low"] < row["loss"]["value"] < row["loss"]["high"]


def test_predict_takes_several_budgets_and_says_how_far_each_lies(csv: Path) -> None:
    frame = pd.read_csv(csv)
    low, high = frame["C"].min(), frame["C"].max()
    budgets = (low / 100, 1.02 * high, 10 * high)
    arguments = [word for budget in budgets for word in ("--flops", budget)]
    result = scaling("predict", csv, *arguments, "--n-boot", 100, "--json")
    rows = json.loads(result.stdout)["predictions"]
    distances = [row["decades_beyond_the_runs"] for row in rows]
    assert distances == pytest.approx([2.0, math.log10(1.02), 1.0], abs=1e-3)
    assert all(row["interval"]["level"] == 0.95 for row in rows)
    assert all(row["runs_flops"] == pytest.approx([low, high]) for row in rows)
    text = scaling("predict", csv, *arguments, "--n-boot", 100).stdout
    assert "extrapolates 2.0 decades beyond the runs (10¹⁷ to" in text
    assert text.count("within the range of the runs") == 1
    assert text.count("95% intervals of the curve: bootstrap by size, simulated") == 1


def test_a_law_without_an_optimum_predicts_none_in_text_and_in_strict_json(
    csv: Path, tmp_path: Path
) -> None:
    frame = pd.read_csv(csv)
    rising = frame.assign(loss=2 + 2000 / frame["D"] ** 0.37 + 0.05 * np.log(frame["N"] / 1e6))
    rising.to_csv(tmp_path / "rising.csv", index=False)
    arguments = ("predict", tmp_path / "rising.csv", "--flops", 1e21, "--n-boot", 100)

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    (row,) = json.loads(scaling(*arguments, "--json").stdout, parse_constant=refuse)["predictions"]
    assert row["loss"]["value"] is None
    text = scaling(*arguments).stdout
    assert "warning: the law has no optimum at this budget" in text
    assert "N*" not in text
    assert "inf" not in text


def test_predict_asks_for_a_question(csv: Path) -> None:
    assert_one_line(scaling("predict", csv), "give --flops, or both --params and --tokens")
    assert_one_line(scaling("predict", csv, "--params", 1e8), "both --params and --tokens")
    assert_one_line(scaling("predict", csv, "--flops", -1), "--flops")


def test_compare_refuses_levels_and_compares_bits(root: Path) -> None:
    arguments = ("compare", "planted", "--root", root, "--by", "arch", "--n-boot", 100, "--json")
    own = json.loads(scaling(*arguments).stdout)
    assert "not on one yardstick" in own["levels_not_compared"]
    assert set(own["yardsticks"].values()) == {"mlm@0.15", "clm"}
    bits = json.loads(scaling(*arguments, "--loss", "bits_per_byte").stdout)
    assert bits["levels_not_compared"] is None
    assert any("times the compute" in verdict["sentence"] for verdict in bits["verdicts"])


def test_compare_prints_the_exponents_of_both_arms(root: Path) -> None:
    result = scaling("compare", "planted", "--root", root, "--n-boot", 100)
    assert result.exit_code == 0, result.stderr
    head = result.stdout.splitlines()[0].split()
    assert head[-2:] == ["encoder", "decoder"]
    assert re.search(r"^Chinchilla law +0\.\d+ \[.*\] +0\.\d+ \[", result.stdout, re.MULTILINE)


def test_compare_needs_two_groups(csv: Path) -> None:
    assert_one_line(scaling("compare", csv), "group")


def test_plot_writes_each_figure_with_its_data(root: Path, tmp_path: Path) -> None:
    result = scaling(
        "plot", "planted", "--root", root, "--out", tmp_path, "--n-boot", 100,
        "--figure", "curves", "--figure", "isoflop",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    files = {path.name for path in tmp_path.iterdir()}
    assert files == {f"{f}.{s}" for f in ("curves", "isoflop") for s in ("svg", "png", "csv")}
    assert str(tmp_path / "isoflop.svg") in result.stdout


def test_report_ends_with_the_path_and_names_the_exponents(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "report"
    result = scaling("report", "planted", "--root", root, "--out", out, "--n-boot", 100)
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[-1] == str(out / "report.html")
    assert Path(lines[-1]).is_file()
    for arm in ("encoder", "decoder"):
        assert any(line.startswith(f"{arm} (") for line in lines)
    assert (
        sum(bool(re.match(r"  alpha of N, loss surface +\d\.\d+ \[", line)) for line in lines) == 2
    )


def test_a_report_is_made_again_only_for_other_runs_or_options(csv: Path, tmp_path: Path) -> None:
    page = tmp_path / "report" / "report.html"
    csv = Path(shutil.copy(csv, tmp_path / "runs.csv"))

    def made(source: Path, seed: int) -> str:
        page.write_text("as it was") if page.exists() else None
        options = ("--out", page.parent, "--n-boot", 100, "--seed", seed)
        result = scaling("report", source, *options)
        assert result.exit_code == 0, result.stderr
        return "kept" if page.read_text() == "as it was" else "made"

    assert [made(csv, 0), made(csv, 0), made(csv, 1)] == ["made", "kept", "made"]
    frame = pd.read_csv(csv)
    frame.loc[0, "loss"] *= 1.001
    frame.to_csv(csv, index=False)
    assert made(csv, 1) == "made"


def broken(csv: Path, tmp_path: Path, change: str) -> Path:
    frame = pd.read_csv(csv)
    if change == "no loss":
        frame = frame.drop(columns="loss")
    elif change == "nan":
        frame.loc[3, "loss"] = np.nan
    elif change == "text":
        frame["loss"] = frame["loss"].astype(object)
        frame.loc[3, "loss"] = "oops"
    elif change == "two sizes":
        frame = frame[frame["N"].isin(sorted(frame["N"].unique())[3:5])]
    path = tmp_path / "broken.csv"
    frame.to_csv(path, index=False)
    return path


@pytest.mark.parametrize("command", ["fit", "report", "plot"])
@pytest.mark.parametrize(
    ("change", "message"),
    [("no loss", "--loss"), ("nan", "line 5: loss is NaN"), ("text", "'oops' is not a number")],
)
def test_a_broken_csv_is_told_in_one_line(
    csv: Path, tmp_path: Path, command: str, change: str, message: str
) -> None:
    assert_one_line(scaling(command, broken(csv, tmp_path, change)), message)


def test_two_sizes_are_no_scaling_law(csv: Path, tmp_path: Path) -> None:
    result = scaling("fit", broken(csv, tmp_path, "two sizes"), "--n-boot", 0)
    assert_one_line(result, "2 distinct params_total")


def test_a_report_of_two_sizes_says_why_it_gives_no_exponent(csv: Path, tmp_path: Path) -> None:
    path = broken(csv, tmp_path, "two sizes")
    result = scaling("report", path, "--out", tmp_path / "out", "--n-boot", 100)
    assert result.exit_code == 0, result.stderr
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "No approach gives a sound exponent" in page
    assert "2 distinct params_total" in page


@pytest.mark.parametrize("command", OWN)
def test_a_source_that_is_not_there(command: str, tmp_path: Path) -> None:
    write_sweep(tmp_path, "known")
    more = ("--flops", 1e20) if command == "predict" else ()
    result = scaling(command, "nowhere", "--root", tmp_path, *more)
    assert_one_line(result, "'nowhere'", "known")


@pytest.mark.parametrize("command", OWN)
def test_help_shows_examples_that_parse(command: str) -> None:
    result = scaling(command, "--help")
    assert result.exit_code == 0
    examples = re.findall(rf"^ +scaling {command} (.+)$", result.stdout, re.MULTILINE)
    assert len(examples) >= 3
    target = __import__("analysis.commands", fromlist=[command])
    for example in examples:
        words = example.split()
        getattr(target, command).make_context(command, words)


def test_choices_of_the_options_are_those_of_the_code() -> None:
    assert tuple(LAWS) == LAW_CHOICES
    assert tuple(FIGURES) == FIGURE_CHOICES
    assert all(COMMANDS[name][0] == f"analysis.commands:{name}" for name in OWN)
    assert plot_command.name == "plot"


def test_the_commands_import_nothing_heavy_until_they_run() -> None:
    code = (
        "import sys, analysis.commands\n"
        "heavy = {'numpy', 'pandas', 'scipy', 'matplotlib', 'jinja2', 'torch', 'scaling'}\n"
        "print(sorted(heavy & sys.modules.keys()))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_a_report_imports_no_trainer(root: Path, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from analysis.commands import fit\n"
        f"fit.main(['{root / 'planted'}', '--n-boot', '0', '--json'], standalone_mode=False)\n"
        "import analysis.report.page, analysis.plots.figures, analysis.study\n"
        "bad = {'torch', 'pytorch_lightning', 'lightning', 'wandb', 'scaling'}\n"
        "print(sorted(bad & sys.modules.keys()))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.splitlines()[-1] == "[]"
