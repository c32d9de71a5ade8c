"""Question 5: verdicts from planted geometries, and the committed study."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from analysis.commands.answer import reference_folder
from analysis.questions.q5_cls import answer, long_frame
from analysis.questions.table import read_question_table
from scaling.spec import RunSpec
from tests.factories import make_spec
from tests.question_records import write_study

_CURES = (
    "raw", "centred", "standardised", "whitened", "without_1_direction", "without_3_directions",
)  # fmt: skip


def geometry(cosine: float, sts: float) -> dict[str, Any]:
    """What the measurement gives, with the raw numbers planted and every cure at 0."""
    found: dict[str, Any] = {
        name: {"cosine_mean": cosine if name == "raw" else 0.0, "same_document": 0.1,
               "histogram": [1, 2, 3, 4]}
        for name in _CURES
    }  # fmt: skip
    spearman = {name: sts + (0.3 if name == "whitened" else 0.0) for name in _CURES}
    return found | {"sts_spearman": spearman}


def planted(run: RunSpec, options: Mapping[str, Any]) -> dict[str, Any]:
    """MLM lowers the cosine by 0.2, NSP by another 0.3; seeds move it by 0.01."""
    trained = options.get("weights") != "initial"
    drop = (0.2 if trained else 0.0) + (0.3 if trained and "nsp" in run.objective else 0.0)
    cls = geometry(0.97 - drop + 0.01 * run.seed * trained, 0.1)
    return {"layers": {"0": {"cls": None, "mean": cls}, "1": {"cls": cls, "mean": cls}}}


def test_planted_effects_are_found(tmp_path: Path) -> None:
    runs = {
        make_spec(arch="bert", objective=objective, seed=seed): {
            "arm": arm, "size": "25k", "train_tokens": 10240, "seed": seed,
        }
        for arm, objective in (("bert-mlm", "mlm"), ("bert-nsp", "mlm+nsp"))
        for seed in (0, 1, 2)
    }  # fmt: skip
    folder = write_study(
        tmp_path / "q5", runs, "cls_geometry", [{}, {"weights": "initial"}], planted
    )
    table = read_question_table(folder)
    assert len(long_frame(table.evaluations)) == 12 * 3
    found = {verdict.claim: verdict for verdict in answer(table).verdicts}
    nsp = found["next-sentence prediction makes [CLS] vectors less similar"]
    assert nsp.is_established
    assert nsp.estimate is not None
    assert abs(nsp.estimate.value + 0.3) < 1e-9
    assert nsp.n_seeds == 3
    training = found["bert-mlm: training makes [CLS] vectors less similar"]
    assert training.is_established
    assert training.estimate is not None
    assert abs(training.estimate.value + 0.19) < 1e-9
    whitening = "bert-mlm: whitening makes [CLS] rank sentence pairs better (STS Spearman)"
    assert found[whitening].is_established
    centring = "bert-mlm: centring makes [CLS] rank sentence pairs better (STS Spearman)"
    assert not found[centring].is_established
    # [CLS] and mean are planted alike.
    alike = "bert-mlm: [CLS] vectors are more similar than the means over tokens"
    assert not found[alike].is_established


def test_the_committed_study_has_every_cell() -> None:
    table = read_question_table(reference_folder("q5"))
    assert table.excluded == {}
    assert len(table.runs) == 4 * 3 * 3 * 3
    assert len(table.evaluations) == 4 * 3 * 3 * 4
    frame = table.frame("cls_geometry")
    untrained = frame[(frame["train_tokens"] == 0) & (frame["arch"] == "bert")]
    # Measured on the committed models: at random initialisation [CLS] is a constant, nearly.
    assert (untrained["layers.2.cls.raw.cosine_mean"] > 0.999).all()


def test_the_committed_answer_says_who_stands_on_the_plateau() -> None:
    found = answer(read_question_table(reference_folder("q5")))
    named = {note.split(":")[0] for note in found.notes if "letter frequencies" in note}
    assert named == {"bert-mlm", "bert-nsp", "mlm-15"}
    (last,) = [v for v in found.verdicts if v.claim.startswith("the last token")]
    assert "-0.44 [-0.81, -0.06] before training" in last.basis
