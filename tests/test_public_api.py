"""The package as a researcher meets it: names, examples that run, text, HTML and figures."""

from __future__ import annotations

import doctest
import importlib
import json
import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

import analysis
from analysis import (
    AnalysisError,
    compare,
    fit_law,
    frontier,
    holdout,
    isoflop,
    load_table,
    plot,
    report_card,
)
from analysis.examples import planted_runs
from analysis.plots.canvas import YardstickError
from analysis.table import Table

ROOT = Path(__file__).parents[1]
HOSTILE = "<script>alert('x')</script>"
MODULES = ("analysis", "analysis.examples", *sorted(set(analysis._PUBLIC.values())))


def hostile_table() -> Table:
    """Two groups and runs with names that are markup, with training curves."""
    parts = []
    for seed, (group, factor) in enumerate({HOSTILE: 1.0, "plain & <b>": 0.8}.items()):
        for i, n in enumerate(np.geomspace(2e6, 2e9, 10)):
            d = np.geomspace(1e7, 2e10 * 3 ** (i % 4), 40)
            loss = 1.8 + factor * (400 / n**0.34 + 2000 / d**0.37)
            noise = np.exp(0.001 * np.random.default_rng([seed, i]).standard_normal(d.size))
            curve = {"N": n, "D": d, "C": 6 * n * d, "loss": loss * noise}
            parts.append(pd.DataFrame(curve).assign(run=f"<i>{group} {i}", arm=group))
    return load_table(pd.concat(parts, ignore_index=True))


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    both = hostile_table()
    own = both.select(group=HOSTILE)
    study = load_table(planted_runs(), columns={"n": "N"})
    fit = fit_law(own, n_boot=100)
    profiles = isoflop(study, n_boot=100)
    return {
        "fit": fit,
        "isoflop": profiles,
        "frontier": frontier(own, n_boot=100),
        "holdout": holdout(study, laws=("chinchilla", "tied")),
        "comparison": compare(both, laws=("tied",), methods=(), with_joint=False, n_boot=100),
        "card": report_card(fit),
        "profiles card": report_card(profiles),
        "table": own,
    }


NAMES = ("fit", "isoflop", "frontier", "holdout", "comparison", "card", "profiles card")


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.seen.add(tag)
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_names_are_given_and_listed() -> None:
    for name in analysis.__all__:
        assert getattr(analysis, name).__name__ == name
        assert name in dir(analysis)
    assert set(analysis.__all__) == set(analysis._PUBLIC)
    with pytest.raises(AttributeError, match="no attribute 'fit_laws'"):
        _ = analysis.fit_laws
    # A submodule of the same name would replace the function once it is imported.
    modules = {path.stem for path in Path(analysis.__file__).parent.iterdir()}
    assert not modules & set(analysis.__all__)


def test_importing_loads_nothing_heavy() -> None:
    """And using all of it loads no trainer, in a fresh process."""
    script = (
        "import sys, analysis\n"
        "print(sorted({'numpy', 'pandas', 'scipy', 'matplotlib', 'torch', 'wandb', 'scaling'}"
        " & set(sys.modules)))\n"
        "for name in analysis.__all__: getattr(analysis, name)\n"
        "print(sorted({'torch', 'lightning', 'pytorch_lightning', 'wandb', 'scaling', 'tokenizers'}"
        " & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.split("\n")[:2] == ["[]", "[]"], done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("command", ["fit", "predict --flops 1e21", "report"])
def test_the_commands_need_no_trainer(command: str, tmp_path: Path) -> None:
    """With what the trainer needs out of reach, as docs/analysis.md says."""
    planted_runs().to_csv(tmp_path / "runs.csv", index=False)
    script = (
        "import sys\n"
        "absent = {'torch', 'pytorch_lightning', 'lightning', 'wandb', 'tokenizers', 'safetensors',"
        " 'yaml', 'jsonschema', 'rich', 'psutil'}\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in absent: raise ImportError(name + ' is not installed')\n"
        "sys.meta_path.insert(0, Absent())\n"
        "from scaling.cli import main\n"
        "main()"
    )
    name, *options = command.split()
    arguments = [name, str(tmp_path / "runs.csv"), *options, "--n-boot", "100"]
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.parametrize("module", MODULES)
def test_examples_of_docstrings_run(module: str) -> None:
    found = doctest.testmod(importlib.import_module(module))
    assert found.failed == 0
    assert found.attempted > 0 or module == "analysis.errors"


def test_the_guide_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = doctest.testfile(str(ROOT / "docs/analysis.md"), module_relative=False)
    assert found.failed == 0
    assert found.attempted > 30
    guide = (ROOT / "docs/analysis.md").read_text(encoding="utf-8")
    assert all(f"{name}(" in guide for name in analysis.__all__ if name != "AnalysisError")


@pytest.mark.parametrize("name", NAMES)
def test_results_show_themselves_as_text_and_escaped_html(
    results: dict[str, Any], name: str
) -> None:
    result = results[name]
    assert str(result) == result.summary()
    assert "\n" not in repr(result)
    assert len(repr(result)) < 300
    tags = Tags()
    tags.feed(result._repr_html_())
    tags.close()
    assert tags.open == []
    assert tags.seen <= {"div", "p", "b", "br", "table", "thead", "tbody", "tr", "th", "td", "ul",
                         "li"}  # fmt: skip
    for flag in getattr(result, "flags", ()):
        assert flag.message in tags.text
        assert flag.message in str(result)


def test_names_of_the_user_are_text(results: dict[str, Any]) -> None:
    html = results["comparison"]._repr_html_()
    assert HOSTILE not in html
    assert "&lt;script&gt;" in html


def test_a_card_says_what_the_fit_says(results: dict[str, Any]) -> None:
    fit, card = results["fit"], results["card"]
    assert card.status == fit.status
    content = json.loads(json.dumps(card.to_dict(), allow_nan=False))
    assert content["formula"] == fit.formula
    assert [row["Number"] for row in content["numbers"]] == [*fit.estimates, *fit.derived]
    assert len(content["flags"]) == len(fit.flags)
    by_table = report_card(load_table(planted_runs()), law="tied", intervals=None)
    assert "tied" in by_table.to_dict()["title"].lower()
    with pytest.raises(AnalysisError, match="no report card of HoldoutResult"):
        report_card(results["holdout"])
    with pytest.raises(AnalysisError, match="law cannot change a fit that is made"):
        report_card(fit, law="tied")


@pytest.mark.parametrize("name", ["fit", "isoflop", "frontier", "holdout", "comparison", "table"])
def test_every_result_can_be_drawn_on_given_axes(results: dict[str, Any], name: str) -> None:
    ax = Figure().subplots()
    assert plot(results[name], ax=ax) is ax
    assert ax.get_xlabel()
    assert ax.lines
    drawn = np.concatenate([np.asarray(line.get_ydata(), float) for line in ax.lines])
    assert np.isfinite(drawn).any()


def test_what_cannot_be_drawn_is_said(results: dict[str, Any]) -> None:
    with pytest.raises(AnalysisError, match="no figure of ReportCard; there is of FitResult"):
        plot(results["card"])
    ax = Figure().subplots()
    plot(results["table"], ax=ax)
    with pytest.raises(YardstickError):  # one Axes carries one kind of loss
        plot(isoflop(load_table(planted_runs().rename(columns={"loss": "val_loss"}))), ax=ax)
