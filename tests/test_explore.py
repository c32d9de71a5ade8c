"""The interactive part: its data is the study's, its script is whole, and no text breaks out."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.fit import fit_law
from analysis.flops_rule import flops_rule
from analysis.report.explore import explore_data
from analysis.report.explore_numbers import exact, rounded
from analysis.report.page import report_html
from analysis.report.page_script import PARTS, chart_script, own_script, script_json
from analysis.study import Study, make_study
from analysis.table import load_table
from tests.planted_sweep import write_sweep

FOLDER = Path(__file__).parents[1] / "analysis" / "report"
# Of the files in npm's package uplot 1.6.32, unchanged.
VENDORED = {
    "uPlot.iife.min.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
    "uPlot.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
    "uPlot.LICENSE": "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd",
}
HOSTILE = "</script><script>alert(1)</script><!--"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = write_sweep(tmp_path_factory.mktemp("runs"), label=HOSTILE)
    return make_study(folder, load_table(folder), n_boot=100, with_checks=False)


@pytest.fixture(scope="module")
def html(study: Study) -> str:
    return report_html(study)


@pytest.fixture(scope="module")
def data(study: Study) -> dict[str, Any]:
    return explore_data(study)


def test_every_run_of_the_fits_is_there_under_every_convention(
    study: Study, data: dict[str, Any]
) -> None:
    runs = data["runs"]
    frames = [arm.table.frame for arm in study.arms.values()]
    assert runs["id"] == [run for frame in frames for run in frame["run_id"]]
    for name in ("params_total", "params_non_embedding", "train_flops", "train_flops_6nd"):
        given = np.concatenate([frame[name].to_numpy(float) for frame in frames])
        np.testing.assert_allclose(runs[name], given, rtol=1e-5)
    assert [x["column"] for x in data["conventions"]["n"]] == [
        "params_total", "params_non_embedding",
    ]  # fmt: skip
    assert len(data["curves"]) == len(runs["id"])
    assert {len(values) for values in runs.values()} == {len(runs["id"])}


def test_the_profiles_of_the_table_s_own_counts_are_those_of_the_figures(
    study: Study, data: dict[str, Any]
) -> None:
    arm = next(iter(study.arms.values()))
    assert arm.isoflop is not None
    (entry,) = (
        x for x in data["profiles"]
        if (x["arm"], x["n"], x["c"], x["method"]) == (0, "params_total", "train_flops", "parabola")
    )  # fmt: skip
    used = [b for b in entry["budgets"] if "best" in b]
    assert [b["best"]["n"] for b in used] == [rounded(b.params_opt) for b in arm.isoflop.budgets]
    assert len(data["profiles"]) == 2 * 2 * 2 * 2  # arms, N, C, methods


def test_draws_are_exact(study: Study, data: dict[str, Any]) -> None:
    arm = next(iter(study.arms.values()))
    assert arm.fit is not None
    assert arm.fit.draws is not None
    law = next(x for x in data["laws"] if x["arm"] == 0 and x["n"] == "params_total")
    decoded = np.frombuffer(base64.b64decode(law["draws"]), dtype="<f8")
    np.testing.assert_array_equal(decoded.reshape(-1, 5), arm.fit.draws)


@pytest.mark.parametrize("budget", [3e11, 1e13, 7.7e17])
@pytest.mark.parametrize(
    ("n", "c"),
    [("params_total", "train_flops"), ("params_total", "train_flops_6nd"),
     ("params_non_embedding", "train_flops_6nd")],
)  # fmt: skip
def test_the_page_s_optimum_is_the_law_s(
    study: Study, data: dict[str, Any], n: str, c: str, budget: float
) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node runs the page's script outside of a browser, and is not installed")
    script = (FOLDER / "script" / "law.js").read_text("utf-8")
    law = next(x for x in data["laws"] if x["arm"] == 0 and x["n"] == n)
    call = f"console.log(JSON.stringify(optimum({json.dumps(law)}, {c!r}, {budget})))"
    done = subprocess.run([node, "-"], input=script + call, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    table = study.table.select(group="encoder").with_columns(n=n, c=c)
    best = fit_law(table, n_boot=100).optimal(budget, train_flops=flops_rule(table))
    for name, estimate in (("n", best.params), ("tokens", best.tokens), ("loss", best.loss)):
        assert estimate.interval is not None
        expected = (estimate.value, estimate.interval.low, estimate.interval.high)
        got = tuple(found[name][key] for key in ("value", "low", "high"))
        # The minimum of a flat curve is known to the root of the precision of its values.
        assert got == pytest.approx(expected, rel=1e-9 if name == "loss" else 1e-5), name


def test_the_vendored_library_is_what_was_published() -> None:
    for name, checksum in VENDORED.items():
        content = (FOLDER / "vendor" / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == checksum, name
    assert "Copyright (c) 2022 Leon Sorokin" in chart_script()
    assert "://" not in chart_script()


def test_every_script_file_is_part_of_the_page() -> None:
    assert {path.stem for path in (FOLDER / "script").glob("*.js")} == set(PARTS)
    assert "innerHTML" not in own_script()
    assert "eval(" not in own_script()


def test_data_cannot_end_its_element() -> None:
    hostile = {HOSTILE: ["\u2028\u2029&<>'\"", "x" * 10_000]}
    text = script_json(hostile)
    assert not re.search("[<>&\u2028\u2029]", text)
    assert json.loads(text) == hostile
    with pytest.raises(ValueError, match="JSON compliant"):
        script_json([float("nan")])


def test_a_hostile_label_stays_inside_the_data(html: str) -> None:
    assert HOSTILE not in html
    assert html.count("<script") == html.count("</script>") == 3
    (inside,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', html)
    assert HOSTILE in json.loads(inside)["runs"]["size"]


def test_the_policy_allows_the_page_s_scripts_and_no_request(html: str) -> None:
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', html)
    scripts = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    assert len(scripts) == 2
    for script in scripts:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"sha256-{digest}" in policy
    assert "default-src" in policy
    assert "unsafe-inline" not in policy.partition("style-src")[0]
    assert html.index("Content-Security-Policy") < html.index("<title>")


def test_numbers_that_json_has_no_word_for() -> None:
    assert [rounded(x) for x in (float("inf"), float("nan"), None)] == [None, None, None]
    assert (rounded(1234567.0), rounded(0.1234567)) == (1234570, 0.123457)
    assert base64.b64decode(exact(np.array([1.0]))) == b"\x00" * 6 + b"\xf0?"
