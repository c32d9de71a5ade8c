"""Questions: evaluations joined with their runs, verdicts over seeds, the files of an answer."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner
from matplotlib.axes import Axes

from analysis.commands.answer import reference_folder
from analysis.errors import AnalysisError
from analysis.plots.canvas import Panel, points
from analysis.questions import QUESTIONS
from analysis.questions.answer import Answer, judge, load_question, write_answer
from analysis.questions.table import read_question_table
from analysis.seeds import seed_mean
from analysis.table import load_table
from scaling.cli import main
from tests.factories import make_spec
from tests.question_records import write_study


def study(folder: Path) -> Path:
    """Two seeds, a trained and an untrained evaluation of each."""
    runs = {
        make_spec(seed=seed): {"arm": "gpt", "size": "25k", "train_tokens": 10240, "seed": seed}
        for seed in (0, 1)
    }
    return write_study(
        folder / "tiny",
        runs,
        "weight_norm",
        [{}, {"weights": "initial"}],
        lambda run, given: {
            "norm": run.seed + (0.5 if given else 0.0),
            "layers": [1.0],
            "by": {"b": 2},
        },
    )


def test_evaluations_stand_beside_their_runs(tmp_path: Path) -> None:
    table = read_question_table(study(tmp_path))
    assert len(table.runs) == 2
    assert table.excluded == {}
    frame = table.frame("weight_norm")
    assert list(frame["norm"]) == [0.0, 0.5, 1.0, 1.5]
    assert list(frame["by.b"]) == [2] * 4
    assert "layers" not in frame
    assert list(frame["train_tokens"]) == [10240, 0, 10240, 0]
    assert list(frame["seed"]) == [0, 0, 1, 1]
    assert set(frame["arm"]) == {"gpt"}
    assert table.of("weight_norm")[0].values["layers"] == [1.0]
    with pytest.raises(AnalysisError, match="holds no finished evaluation by other"):
        table.of("other")


def test_evaluations_are_no_runs_of_a_law(tmp_path: Path) -> None:
    table = load_table(study(tmp_path))
    assert len(table.frame) == 2


def test_what_is_not_used_says_why(tmp_path: Path) -> None:
    folder = study(tmp_path)
    table = read_question_table(folder)
    first, second, third, _ = table.evaluations
    cells = tmp_path / "cells"
    path = cells / first.run_id / "record.json"
    path.write_text(path.read_text().replace('"norm": 0.0', '"norm": 9.0'))
    (cells / second.run_id / "record.json").unlink()
    (cells / str(third.run["run_id"]) / "record.json").unlink()
    found = read_question_table(folder)
    assert found.evaluations == ()
    reasons = sorted(found.excluded.values())
    assert len(reasons) == 5
    assert reasons[0].startswith("damaged: ")
    assert "checksum" in reasons[0]
    assert [reason.partition(" (")[0][:12] for reason in reasons[1:]] == [
        "its run " + third.run["run_id"][:4], "its run " + third.run["run_id"][:4],
        "no record ye", "no record ye",
    ]  # fmt: skip


def test_a_verdict_is_established_by_its_interval_alone() -> None:
    clear, vague, single = (
        seed_mean(values, name="x", unit="")
        for values in ([1.0, 1.1, 0.9], [1.0, -0.9, 0.1], [1.0])
    )
    assert judge("it rises", clear, n_seeds=3).is_established
    assert not judge("it rises", vague, n_seeds=3).is_established
    assert not judge("it falls", clear, n_seeds=3, above=False).is_established
    assert not judge("it is over 1", clear, n_seeds=3, null=1.0).is_established
    assert not judge("it rises", single, n_seeds=1).is_established
    sentence = judge("it rises", vague, n_seeds=3, flips=("C = 6 N D",)).sentence
    assert sentence.startswith("not established: it rises: x ")
    assert sentence.endswith("(3 seeds); another under: C = 6 N D")


def test_an_answer_is_written_byte_for_byte_the_same(tmp_path: Path) -> None:
    def draw(ax: Axes) -> pd.DataFrame:
        ax.plot([0, 1], [1, 2])
        return points("line", "line", [0, 1], [1, 2])

    panel = Panel(name="line", title="A line", alt="It rises.", draw=draw)
    found = Answer(
        question="Does it rise?",
        verdicts=(),
        tables={"numbers": pd.DataFrame({"x": [1 / 3]})},
        figures={"rise": (panel,)},
    )
    written = [write_answer(found, tmp_path / name) for name in ("a", "b")]
    names = [path.name for path in written[0]]
    assert names == ["numbers.csv", "rise.svg", "rise.png", "rise.csv"]
    for one, other in zip(*written, strict=True):
        assert one.read_bytes() == other.read_bytes()


def test_a_question_without_committed_records_asks_for_a_study(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(QUESTIONS, "q9", ("nowhere:answer", "?"))
    result = CliRunner().invoke(main, ["answer", "all"])
    assert result.exit_code == 0, result.output
    assert "q9 is left out: no study of it comes with the suite" in result.output


@pytest.mark.parametrize("name", [name for name in QUESTIONS if reference_folder(name).is_dir()])
def test_each_question_is_answered_from_the_committed_records(name: str) -> None:
    found = load_question(name)(read_question_table(reference_folder(name)))
    assert found.verdicts
    assert found.figures
    listing = (reference_folder(name) / "cells.json").read_text()
    assert "/work" not in listing
    json.loads(listing)
