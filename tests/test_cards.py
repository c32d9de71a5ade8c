"""Report cards: every item of the checklist has a line in every card, known or not."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.report.cards import cards
from analysis.report.checklist import ITEMS
from analysis.report.settings import UNKNOWN
from analysis.report.views import Card
from analysis.study import Study, make_study
from analysis.table import load_table
from tests.planted_runs import isoflop_frame


@pytest.fixture
def of_sweep(reference_study: Study) -> tuple[Card, ...]:
    return cards(reference_study)


@pytest.fixture(scope="module")
def of_csv(tmp_path_factory: pytest.TempPathFactory) -> tuple[Card, ...]:
    path = tmp_path_factory.mktemp("csv") / "runs.csv"
    frame = isoflop_frame(noise=1e-3).assign(status="done")
    frame.loc[3, "status"] = "crashed"
    frame.to_csv(path, index=False)
    return cards(make_study(path, load_table(path), n_boot=100, with_checks=False))


def test_every_item_has_a_line_in_every_card(
    of_sweep: tuple[Card, ...], of_csv: tuple[Card, ...]
) -> None:
    assert len(of_sweep) == 6
    assert len(of_csv) == 3
    for card in (*of_sweep, *of_csv):
        names = [name for name, _ in card.facts]
        assert [name for name in names if name in ITEMS] == list(ITEMS), card.title
        assert all(text for _, text in card.facts)


def test_the_documentation_names_every_item() -> None:
    page = (Path(__file__).parents[1] / "docs" / "report-card.md").read_text(encoding="utf-8")
    for item in ITEMS:
        assert f"| {item} |" in page, item


def test_records_of_a_sweep_answer_every_item(of_sweep: tuple[Card, ...]) -> None:
    facts = dict(of_sweep[0].facts)
    assert [name for name, text in facts.items() if UNKNOWN in text] == []
    assert facts["Counting"].startswith(
        "N: parameters, with embeddings; C: training FLOPs (exact); columns in the table: "
        "params_total, params_non_embedding, train_flops, train_flops_6nd"
    )
    assert "12 runs, 4 sizes, 3 budgets; N 22.4k to 121k" in facts["Runs and ranges"]
    assert facts["Model shapes"].startswith("2 x 24 at 14k, ")
    assert "0.00457 at 14k, " in facts["Hyper-parameters"]
    assert "batch_tokens 512 at every size" in facts["Hyper-parameters"]
    assert "a cool-down over the last 20 % of the tokens" in facts["Schedule"]
    assert facts["Checkpoint"].startswith("the last one of each run, after its cool-down")
    assert "65536 tokens of the held-out split; not smoothed; standard error" in facts["Loss"]
    assert "100% of 11 reached the optimum" in facts["Starts that agree"]
    assert facts["Bounds"].endswith("none touched")
    assert "alpha 0.005 to 4" in facts["Bounds"]
    assert "δ = 0.001" in facts["Objective"]


def test_a_csv_says_what_it_cannot_tell(of_csv: tuple[Card, ...]) -> None:
    facts = dict(of_csv[0].facts)
    for item in ("Model shapes", "Training data", "Hyper-parameters", "Schedule", "Checkpoint",
                 "Seeds"):  # fmt: skip
        assert facts[item] == UNKNOWN, item
    for item in ("Loss", "Code and data"):
        assert UNKNOWN in facts[item]
    assert facts["Excluded"] == "1 x status crashed"


def test_a_fit_that_could_not_be_made_answers_all_the_same(of_csv: tuple[Card, ...]) -> None:
    (envelope,) = [card for card in of_csv if "envelope" in card.title]
    assert envelope.status == "failed"
    facts = dict(envelope.facts)
    assert "no training curves" in facts["Not fitted"]
    assert facts["Objective"].startswith("not reached")
    assert facts["Variables"] == (
        "N = params_total; D = train_tokens; C = train_flops; L = loss_nats"
    )
