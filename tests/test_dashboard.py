"""The dashboard reads the keys that runs log, and can be written without a server."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from scaling.cli import main
from scaling.dashboard.charts import COLUMNS, SECTIONS, all_keys
from scaling.dashboard.report import markdown_sections
from scaling.dashboard.study_run import FIGURES, FITS, OPTIMA, Outline, figure_key
from scaling.throughput import MFU
from scaling.train import run
from scaling.wandb_mirror.content import final_summary
from scaling.wandb_mirror.overview import STATES
from scaling.wandb_writer import COUNTERS
from tests.factories import make_text, spec_for
from tests.small_store import small_store
from tests.wandb_environment import clean_environment, use_service
from tests.wandb_service import wandb_service

# A key in a definition, wherever it stands: a name, a slash, a name.
KEY = re.compile(r"\b(?:train|validation|progress|throughput|final|tables|figures)/[\w./]+")

# wandb-workspaces writes its validators as pydantic 1 did.
OLD_PYDANTIC = pytest.mark.filterwarnings("ignore::pydantic.PydanticDeprecatedSince20")


class Keys:
    """A logger that keeps the names of what it is sent."""

    def __init__(self) -> None:
        self.names: set[str] = set(COUNTERS)

    def log_row(self, row: dict[str, float], **counters: Any) -> None:
        self.names |= set(row)


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """What one run of each architecture logs, and the names under which studies are logged."""
    folder = tmp_path_factory.mktemp("runs")
    text, keys = make_text(folder), Keys()
    summaries: set[str] = set()
    for arch, objective in (("decoder", "clm"), ("encoder", "mlm")):
        spec = spec_for(text, arch=arch, objective=objective)
        record = run(spec, text=text, folder=folder / arch, logger=keys)
        summaries |= final_summary(record).keys()
    # MFU is logged where the machine's peak was measured: see tests/test_tracking.py.
    names = keys.names | summaries | {MFU}
    return names | {STATES, FITS, OPTIMA} | {figure_key(n) for n in FIGURES}


def test_every_key_of_the_dashboard_is_logged(logged: set[str]) -> None:
    assert all_keys() - logged == set()


def test_no_chart_mixes_a_masked_and_a_causal_loss() -> None:
    for charts in SECTIONS.values():
        for chart in charts:
            assert not {"clm", "mlm"} <= set(re.findall("clm|mlm", " ".join(chart.keys)))


def dump(root: Path) -> dict[str, Any]:
    options = ["--root", str(root), "--n-boot", "100"]
    result = CliRunner().invoke(main, ["dashboard", "dump", "quickstart", *options])
    assert result.exit_code == 0, result.output
    return json.loads(result.output)  # type: ignore[no-any-return]


@OLD_PYDANTIC
@pytest.mark.slow
def test_the_dump_needs_no_server_and_names_logged_keys_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logged: set[str]
) -> None:
    pytest.importorskip("wandb_workspaces")
    clean_environment(monkeypatch, tmp_path)
    small_store(tmp_path, 24)
    content = dump(tmp_path)
    keys = set(KEY.findall(json.dumps(content["workspace"])))
    assert keys == {key for key in all_keys() if "/" in key}
    assert keys <= logged
    assert set(KEY.findall(json.dumps(content["report"]["panels"]))) == keys - set(COLUMNS) | {
        key
        for section in SECTIONS.values()
        for chart in section
        for key in chart.keys
        if "/" in key
    }
    lines = [
        panel
        for panel in json_panels(content["workspace"])
        if panel["viewType"] == "Run History Line Plot"
    ]
    losses = [panel["config"] for panel in lines if "validation" in json.dumps(panel)]
    assert len(losses) == 4
    assert all(c["xLogScale"] and c["yLogScale"] for c in losses)
    assert {row["arm"] for row in content["tables"]["fits"]} == {"encoder", "decoder"}
    assert all(row["low"] <= row["value"] <= row["high"] for row in content["tables"]["fits"])
    assert dump(tmp_path) == content, "equal input, equal JSON"


def json_panels(content: Any) -> list[dict[str, Any]]:
    if isinstance(content, list):
        return [panel for part in content for panel in json_panels(part)]
    if isinstance(content, dict):
        own = [content] if "viewType" in content and "config" in content else []
        return own + [panel for part in content.values() for panel in json_panels(part)]
    return []


@OLD_PYDANTIC
@pytest.mark.slow
def test_a_second_push_replaces_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb_workspaces")
    small_store(tmp_path / "store", 24)
    options = ["--project", "team/scaling", "--root", str(tmp_path / "store"), "--n-boot", "100"]
    with wandb_service() as service:
        use_service(monkeypatch, tmp_path, service.url)
        for _ in range(2):
            result = CliRunner().invoke(main, ["dashboard", "push", "quickstart", *options])
            assert result.exit_code == 0, result.output
        assert service.unknown == []
        kinds = sorted(view["type"] for view in service.state.views.values())
        assert kinds == ["project-view", "runs"]
        study = service.state.run("study-quickstart")
        names = {FITS, OPTIMA, *map(figure_key, FIGURES)}
        assert names <= study.summary.keys()
        committed = [a for a in service.state.artifacts.values() if a.committed]
        assert len(committed) >= 2
        report = next(v for v in service.state.views.values() if v["type"] == "runs")
        assert "best size grows" in json.dumps(report["spec"]) or "compared" in json.dumps(
            report["spec"]
        )


def test_text_from_data_is_escaped_in_the_report() -> None:
    evil = "<script>alert(1)</script> [x](http://e) | `a`\n# b"
    rows = [{"arm": evil, "value": 0.5, "low": None}]
    outline = Outline(
        sentences=[evil], tables={"fits": rows, "optima": []}, missing={evil: evil}, figures={}
    )
    text = "\n".join(markdown_sections(outline).values())
    unescaped = re.findall(r"(?<!\\)[<>`#\[\]]", text)
    assert unescaped == []
    (line,) = [line for line in text.splitlines() if "0.5" in line]
    assert len(re.findall(r"(?<!\\)\|", line)) == 4
