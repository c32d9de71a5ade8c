"""Fine-tuning: what the head reads, what the mask hides, what is learned and what is recorded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from scaling.errors import SweepError
from scaling.evaluate.measurement import Trained, make_evaluation
from scaling.evaluate.transfer.classification import Classification
from scaling.evaluate.transfer.fine_tune import FineTuned, Schedule, set_direction
from scaling.evaluate.transfer.layout import Layout
from scaling.evaluate.transfer.measure import make_splits, measure
from scaling.evaluate.transfer.options import TransferOptions
from scaling.evaluate.transfer.pooling import SENTENCE_POOLERS, WORD_POOLERS
from scaling.evaluate.transfer.rows import TaskDataError, read_rows
from scaling.evaluate.transfer.tagging import Tagging
from scaling.evaluate.transfer.task import Inputs, stack
from scaling.models import LanguageModel, build_model
from scaling.tokenizer import byte_tokenizer
from tests.factories import make_spec

LAYOUT = Layout(tokenizer=byte_tokenizer(), seq_len=32)


def model_of(arch: str = "encoder") -> LanguageModel:
    objective = "clm" if arch == "decoder" else "mlm"
    return build_model(make_spec(arch=arch, objective=objective)).eval()


def inputs_of(*texts: str) -> Inputs:
    rows = [{"tokens": text.split(), "tags": ["O"] * len(text.split())} for text in texts]
    task = Tagging(rows)
    return stack([task.example(row, LAYOUT) for row in rows])


def test_poolers_read_the_positions_that_they_name() -> None:
    inputs = inputs_of("ab cde f", "gh")
    hidden = torch.randn(2, 10, 4, generator=torch.Generator().manual_seed(0))
    cls, mean, last = (SENTENCE_POOLERS[name](hidden, inputs) for name in ("cls", "mean", "last"))
    assert torch.equal(cls, hidden[:, 0])
    assert torch.allclose(mean[1], hidden[1, :4].mean(0))
    assert torch.equal(last[1], hidden[1, 3])
    word_mean, word_last = (WORD_POOLERS[name](hidden, inputs) for name in ("mean", "last"))
    # [CLS] a b _ c d e _ f [SEP]
    assert torch.allclose(word_mean[0, 1], hidden[0, 4:7].mean(0), atol=1e-6)
    assert torch.allclose(word_mean[1, 0], hidden[1, 1:3].mean(0), atol=1e-6)
    assert torch.equal(word_last[0], hidden[0, [2, 6, 8]])


@pytest.mark.parametrize("arch", ["encoder", "decoder", "bert"])
@pytest.mark.parametrize("pooler", ["cls", "mean", "last"])
def test_padding_changes_nothing(arch: str, pooler: str) -> None:
    tuned = FineTuned(model_of(arch), SENTENCE_POOLERS[pooler], 3, seed=0, freeze=False).eval()
    with torch.no_grad():
        together = tuned(inputs_of("a short one", "a longer text than that"))
        alone = tuned(inputs_of("a short one"))
    assert torch.allclose(together[:1], alone, atol=1e-5)


def test_the_mask_of_fine_tuning_is_the_one_that_is_asked_for() -> None:
    inputs = inputs_of("one text", "two text", "one test")
    for arch in ("encoder", "decoder"):
        model = model_of(arch)
        for mask, sees_later in (("causal", False), ("bidirectional", True)):
            set_direction(model, mask)
            with torch.no_grad():
                first, other, later = FineTuned(
                    model, SENTENCE_POOLERS["cls"], 3, seed=0, freeze=False
                )(inputs)
                words = WORD_POOLERS["last"](model(inputs.ids_BT), inputs)
            # Under a causal mask [CLS] sees itself alone, and a first word nothing that follows.
            assert torch.allclose(first, other, atol=1e-6) is not sees_later
            assert torch.allclose(first, later, atol=1e-6) is not sees_later
            assert torch.allclose(words[0, 0], words[2, 0], atol=1e-6) is not sees_later


def test_the_learning_rate_rises_and_falls_to_nothing() -> None:
    schedule = Schedule(steps=100, batch_examples=4, peak_lr=1.0, seed=0)
    rates = [schedule.learning_rate(step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == pytest.approx(0.91)
    assert rates.index(max(rates)) == 9
    assert rates[-1] == pytest.approx(0.01)
    assert rates[9:] == sorted(rates[9:], reverse=True)


@pytest.fixture
def planted(tmp_path: Path) -> str:
    """The label is the sign before the last word; the tag of a word is that of its first letter."""
    folder = tmp_path / "planted"
    folder.mkdir()
    for split, n in (("train", 96), ("validation", 32), ("test", 40)):
        rows = []
        for i in range(n):
            sign = "+-"[i % 2]
            rows.append({
                "id": f"{split}-{i}", "text": f"{'abcd'[i % 3] * (1 + i % 5)} {sign} xy",
                "label": i % 2, "tokens": ["Xa", f"b{i % 7}", "Xc"],
                "tags": ["B-X", "O", "B-X"],
            })  # fmt: skip
        rows.append({"id": "long", "text": "z" * 99, "label": 0, "tokens": ["b" * 99],
                     "tags": ["O"]})  # fmt: skip
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(folder)


def trained(tmp_path: Path, arch: str = "encoder") -> Trained:
    spec = make_spec(arch=arch, objective="mlm" if arch == "encoder" else "clm")
    model = build_model(spec).eval()
    return Trained(spec=spec, model=model, device=torch.device("cpu"), root=tmp_path)


def measured(tmp_path: Path, place: str, **options: Any) -> dict[str, Any]:
    chosen = {"task": "classification", "steps": 60, "peak_lr": 0.01} | options
    return measure(
        trained(tmp_path), TransferOptions(data=place, **chosen), lambda done, total: None
    )


def test_a_planted_task_is_learned_and_all_of_it_recorded(tmp_path: Path, planted: str) -> None:
    values = measured(tmp_path, planted, pooler="cls", too_long="drop")
    assert values["test"] == {"accuracy": 1.0, "macro_f1": 1.0}
    assert values["validation"]["accuracy"] == 1.0
    assert values["baselines"]["majority"]["test"]["accuracy"] == 0.5
    assert values["baselines"]["tfidf_logistic_regression"]["test"]["accuracy"] == 1.0
    assert values["examples"] == {"train": 96, "validation": 32, "test": 40}
    assert values["examples_too_long"] == {"train": 1, "validation": 1, "test": 1}
    assert values["missing"] == {}
    json.dumps(values, allow_nan=False)
    again = measured(tmp_path, planted, pooler="cls", too_long="drop")
    assert again == values
    other = measured(tmp_path, planted, pooler="cls", too_long="drop", seed=1)
    assert other["train_loss_last_tenth"] != values["train_loss_last_tenth"]


def test_words_are_tagged(tmp_path: Path, planted: str) -> None:
    values = measured(tmp_path, planted, task="tagging", pooler="last")
    assert values["test"]["f1"] == 1.0
    assert values["metric"] == "f1"
    # The long word does not fit and is cut: it counts, and is no entity.
    assert values["examples"]["test"] == 41
    assert values["examples_too_long"]["test"] == 1
    assert values["examples_unanswerable"] == {"train": 1, "validation": 1, "test": 1}


def test_a_frozen_model_stays_as_it_was(tmp_path: Path, planted: str) -> None:
    for freeze in (True, False):
        one = trained(tmp_path)
        before = {name: value.clone() for name, value in one.model.state_dict().items()}
        options = TransferOptions(data=planted, steps=3, freeze=freeze)
        measure(one, options, lambda done, total: None)
        same = [torch.equal(v, before[name]) for name, v in one.model.state_dict().items()]
        assert all(same) is freeze


def test_fewer_examples_are_part_of_more_and_evaluation_stays(planted: str) -> None:
    def ids(**options: Any) -> list[list[str]]:
        _, splits = make_splits(
            read_rows(planted), TransferOptions(data=planted, **options), LAYOUT
        )
        return [[row["id"] for row in splits[split].rows] for split in ("train", "test")]

    few, evaluated = ids(train_examples=8, eval_examples=10, too_long="drop")
    more, _ = ids(train_examples=16, too_long="drop")
    other, same = ids(train_examples=8, eval_examples=10, seed=1, too_long="drop")
    assert (len(few), len(evaluated)) == (8, 10)
    assert more[:8] == few
    assert set(other) != set(few)
    assert same == evaluated


def test_options_that_cannot_be_are_refused(tmp_path: Path, planted: str) -> None:
    for options, message in (
        ({"task": "tagging", "pooler": "cls"}, "which reads words; give mean or last"),
        ({"peak_lr": 0.0}, "is not between 0 and 1"),
        ({"steps": 0}, "steps=0 is not positive"),
        ({"seed": -1}, "seed=-1 is negative"),
    ):
        with pytest.raises(SweepError, match=message):
            TransferOptions(**options)  # type: ignore[arg-type]
    with pytest.raises(SweepError, match="transfer needs data"):
        make_evaluation("transfer", "0" * 16, {})
    with pytest.raises(TaskDataError, match="have the label 0 alone"):
        Classification([{"text": "a", "label": 0}])


def test_the_place_of_data_is_no_part_of_what_is_measured(tmp_path: Path, planted: str) -> None:
    made = make_evaluation("transfer", "0" * 16, {"data": planted, "steps": 5})
    assert made.places == {"data": planted}
    assert list(made.data) == ["planted"]
    moved = tmp_path / "elsewhere" / "planted"
    moved.parent.mkdir()
    Path(planted).rename(moved)
    again = make_evaluation("transfer", "0" * 16, {"data": str(moved), "steps": 5})
    assert again.run_id == made.run_id
    changed = (moved / "test.jsonl").read_text().replace('"label": 0', '"label": 1', 1)
    other = moved.parent / "other" / "planted"
    moved.rename(other.parent.with_name("planted2"))
    other.mkdir(parents=True)
    for split in ("train", "validation"):
        (other / f"{split}.jsonl").write_text(changed)
    (other / "test.jsonl").write_text(changed)
    assert make_evaluation("transfer", "0" * 16, {"data": str(other)}).data != made.data
