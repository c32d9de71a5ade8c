"""Question 5: verdicts from planted geometries, and the committed study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from analysis.commands.answer import reference_folder
from analysis.questions.cls_verdicts import LOSSES_ON_CLS
from analysis.questions.cls_view import long_frame
from analysis.questions.q5_cls import answer
from analysis.questions.table import QuestionTable, read_question_table
from scaling.arms import ARMS
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
    """MLM lowers the cosine by 0.2, a loss on pairs by another 0.3; seeds move it by 0.01."""
    trained = options.get("weights") != "initial"
    has_loss = "nsp" in run.objective or "sop" in run.objective
    drop = (0.2 if trained else 0.0) + (0.3 if trained and has_loss else 0.0)
    cls = geometry(0.97 - drop + 0.01 * run.seed * trained, 0.1)
    last = geometry(0.5, 0.1)
    seen = None if run.arch == "decoder" else cls
    return {
        "layers": {
            "0": {"cls": None, "mean": cls, "last": last},
            "1": {"cls": seen, "mean": cls, "last": last},
        }
    }


def planted_study(folder: Path, arms: Sequence[str]) -> QuestionTable:
    runs = {
        make_spec(**ARMS[arm], seed=seed): {
            "arm": arm, "size": "25k", "train_tokens": 10240, "seed": seed,
        }
        for arm in arms
        for seed in (0, 1, 2)
    }  # fmt: skip
    written = write_study(
        folder / "q5", runs, "cls_geometry", [{}, {"weights": "initial"}], planted
    )
    return read_question_table(written)


@pytest.mark.parametrize(("loss", "arm", "without"), LOSSES_ON_CLS)
def test_the_effect_of_a_loss_on_cls_is_found(
    tmp_path: Path, loss: str, arm: str, without: str
) -> None:
    found = {v.claim: v for v in answer(planted_study(tmp_path, (without, arm))).verdicts}
    effect = found[f"{loss} makes [CLS] vectors less similar"]
    assert effect.is_established
    assert effect.estimate is not None
    assert effect.estimate.value == pytest.approx(-0.3)
    assert effect.n_seeds == 3
    # Nothing of the kind is planted for documents.
    assert not found[f"{loss} makes the nearest [CLS] more often one of the same document"].flips
    assert sum(verdict.claim.startswith(loss) for verdict in found.values()) == 3


def test_planted_effects_of_training_and_cures_are_found(tmp_path: Path) -> None:
    table = planted_study(tmp_path, ("mlm-pairs", "clm"))
    # Two layers with [CLS], mean and last token, less the [CLS] of layer 0 and of the decoder.
    assert len(long_frame(table.evaluations)) == 6 * 5 + 6 * 4
    found = {verdict.claim: verdict for verdict in answer(table).verdicts}
    training = found["mlm-pairs: training makes [CLS] vectors less similar"]
    assert training.is_established
    assert training.estimate is not None
    assert training.estimate.value == pytest.approx(-0.19)
    whitening = "mlm-pairs: whitening makes [CLS] rank sentence pairs better (STS Spearman)"
    assert found[whitening].is_established
    centring = "mlm-pairs: centring makes [CLS] rank sentence pairs better (STS Spearman)"
    assert not found[centring].is_established
    # [CLS] and mean are planted alike.
    alike = "mlm-pairs: [CLS] vectors are more similar than the means over tokens"
    assert not found[alike].is_established
    assert found[
        "encoder-pairs: the [CLS] vectors of an untrained model are near parallel, cosine above 0.9"
    ].is_established


def test_the_last_token_is_compared_at_both_positions(tmp_path: Path) -> None:
    verdicts = answer(planted_study(tmp_path, ("mlm-pairs", "clm"))).verdicts
    found = {v.claim: v for v in verdicts if v.claim.startswith("the last token of clm")}
    on_cls = found["the last token of clm is less similar than the [CLS] of mlm-pairs"]
    assert on_cls.is_established
    assert on_cls.estimate is not None
    assert on_cls.estimate.value == pytest.approx(0.5 - 0.78)
    assert "-0.47" in on_cls.basis  # before training
    # At the same position nothing is planted between them.
    on_last = found["the last token of clm is less similar than the last token of mlm-pairs"]
    assert not on_last.is_established


def test_the_committed_study_has_every_cell() -> None:
    table = read_question_table(reference_folder("q5"))
    assert table.excluded == {}
    arms = {"mlm-pairs", "mlm+nsp", "mlm+sop", "clm"}
    cells = {(label["arm"], label["size"], label["seed"]) for label in table.labels.values()}
    assert cells == {
        (arm, size, seed) for arm in arms for size in ("25k", "55k") for seed in range(3)
    }
    assert len(table.evaluations) == 2 * len(table.runs)
    frame = long_frame(table.evaluations)
    untrained = frame[(frame["train_tokens"] == 0) & (frame["pooling"] == "cls") & frame["is_last"]]
    # Measured on the committed models: at random initialisation [CLS] is a constant, nearly.
    assert (untrained["raw.cosine_mean"] > 0.98).all()


def test_the_committed_models_have_left_the_plateau_and_not_learned_pairs() -> None:
    found = answer(read_question_table(reference_folder("q5")))
    assert not [note for note in found.notes if "letter frequencies" in note]
    learned = found.tables["learned"].query("size == '55k'").set_index(["arm", "term"])
    masked = learned.xs("mlm", level="term")
    assert (masked["nats_per_target"] < 0.6 * masked["unigram_nats"]).all()
    for arm, term in (("mlm+nsp", "nsp"), ("mlm+sop", "sop")):
        assert learned.loc[(arm, term), "accuracy"] == pytest.approx(0.5, abs=0.01)


def test_the_committed_answer_is_that_of_the_page() -> None:
    """docs/questions.md, section 5."""
    found = {v.claim: v for v in answer(read_question_table(reference_folder("q5"))).verdicts}
    loss = found["next-sentence prediction makes [CLS] vectors less similar"]
    assert loss.is_contradicted
    assert loss.estimate is not None
    assert loss.estimate.value == pytest.approx(0.22, abs=0.005)
    position = "the last token of clm is less similar than the {} of mlm-pairs"
    assert found[position.format("[CLS]")].is_established
    assert not found[position.format("last token")].is_established
