"""The geometry of sentence vectors of real models: what is read, pooled, and left out."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from scaling.cli import main
from scaling.errors import EvaluationError, SweepError
from scaling.evaluate.cls_geometry import Options, measure, pooled, sts_spearman
from scaling.evaluate.hidden_states import hidden_states
from scaling.evaluate.measurement import Trained
from scaling.evaluate.passages import draw_passages
from scaling.evaluate.sentence_pairs import read_sentence_pairs
from scaling.evaluation_cell import check_values
from scaling.models import build_model
from scaling.tokenizer import CLS_ID, SEP_ID
from tests.factories import make_spec, make_text, spec_for
from tests.tiny_sweep import write_tiny_sweep

SMALL = Options(positions=32, documents=3, per_document=8)


def untrained(text: Any, root: Path, **changes: Any) -> Trained:
    spec = spec_for(text, **changes)
    return Trained(spec=spec, model=build_model(spec).eval(), device=torch.device("cpu"), root=root)


def of_arch(text: Any, root: Path, arch: str) -> Trained:
    objective = "clm" if arch in ("decoder", "gpt") else "mlm"
    return untrained(text, root, arch=arch, objective=objective, n_layer=3)


@pytest.mark.parametrize("arch", ["encoder", "decoder", "bert", "gpt"])
def test_hidden_states_are_those_of_each_block(arch: str) -> None:
    objective = "clm" if arch in ("decoder", "gpt") else "mlm"
    spec = make_spec(arch=arch, objective=objective, n_layer=3)
    model = build_model(spec).eval()
    ids_BT = torch.randint(4, 260, (2, 9), generator=torch.Generator().manual_seed(0))
    found = hidden_states(model, ids_BT)
    assert len(found) == 4
    with torch.no_grad():
        assert torch.equal(found[0], model._embed(ids_BT, None))
        assert torch.equal(found[-1], model(ids_BT))
        # A pre-LN block's own output is another thing than what the final norm makes of it.
        again = found[2]
        again = model.blocks[2](again, None) if not model.is_causal else None
    if again is not None:
        last = again if model.final_norm is None else model.final_norm(again)
        assert torch.allclose(found[-1], last, atol=1e-6)
    assert not any(block._forward_hooks for block in model.blocks)
    assert not model.blocks[0]._forward_pre_hooks


@pytest.mark.parametrize("arch", ["encoder", "decoder", "bert"])
def test_padding_changes_no_vector(tmp_path: Path, arch: str) -> None:
    trained = of_arch(make_text(tmp_path), tmp_path, arch)
    rng = np.random.default_rng(0)
    sequences = [np.append(CLS_ID, rng.integers(4, 260, n)) for n in (5, 31, 12, 5)]
    together = pooled(trained, sequences)
    for index, ids in enumerate(sequences):
        states = hidden_states(trained.model, torch.from_numpy(ids)[None])
        for layer, state in enumerate(states):
            x_TE = state[0].double().numpy()
            for name, expected in (
                ("cls", x_TE[0]), ("last", x_TE[-1]), ("mean", x_TE[1:].mean(axis=0)),
            ):  # fmt: skip
                assert together[layer][name][index] == pytest.approx(expected, abs=1e-5)


def test_passages_lie_apart_and_within_documents(tmp_path: Path) -> None:
    stream = make_text(tmp_path).train
    found = draw_passages(stream, positions=32, documents=10, per_document=4, seed=0)
    assert found.ids_NT.shape == (40, 32)
    assert (found.ids_NT[:, 0] == CLS_ID).all()
    assert not (found.ids_NT == SEP_ID).any()
    seen = set()
    for ids_T, document in zip(found.ids_NT, found.document_N, strict=True):
        start, end = stream.document_starts[document : document + 2]
        text = stream.ids[start:end].tobytes()
        passage = ids_T[1:].astype(stream.ids.dtype).tobytes()
        assert passage in text
        seen.add((int(document), text.index(passage)))
    assert len(seen) == 40
    again = draw_passages(stream, positions=32, documents=10, per_document=4, seed=0)
    assert np.array_equal(found.ids_NT, again.ids_NT)
    other = draw_passages(stream, positions=32, documents=10, per_document=4, seed=1)
    assert not np.array_equal(found.ids_NT, other.ids_NT)
    with pytest.raises(EvaluationError, match="has 0 documents of 9200 tokens"):
        draw_passages(stream, positions=24, documents=10, per_document=400, seed=0)


def test_an_untrained_model_as_science_has_it(tmp_path: Path) -> None:
    """At random initialisation the cosine of [CLS] is near 1, for its input is a constant."""
    trained = of_arch(make_text(tmp_path), tmp_path, "bert")
    done = []
    values = measure(trained, SMALL, lambda *parts: done.append(parts))
    missing = values.pop("missing")
    check_values(values, missing)
    assert done[-1] == (14, 14)
    assert values["passages"] == 24
    assert values["chance_same_document"] == 7 / 23
    first, last = values["layers"]["0"], values["layers"]["3"]
    assert first["cls"]["raw"]["cosine_mean"] == pytest.approx(1.0)
    assert first["cls"]["centred"] is None
    assert "all vectors are equal" in missing["layers.0.cls.centred"]
    assert last["cls"]["raw"]["cosine_mean"] > 0.99
    assert last["mean"]["raw"]["cosine_mean"] < last["cls"]["raw"]["cosine_mean"]
    assert abs(last["cls"]["centred"]["cosine_mean"]) < 0.3
    # All pairs of different documents are in the histogram: 3 x 8 x 8.
    assert sum(last["cls"]["raw"]["histogram"]) == 192
    assert sum(last["cls"]["raw"]["histogram"][-2:]) == 192
    assert "histogram" not in first["mean"]["raw"]
    assert values["sts_pairs"] == 0


def test_a_causal_model_has_no_cls(tmp_path: Path) -> None:
    trained = of_arch(make_text(tmp_path), tmp_path, "decoder")
    values = measure(trained, SMALL, lambda *parts: None)
    assert {layer["cls"] for layer in values["layers"].values()} == {None}
    assert "sees no text" in values["missing"]["layers.3.cls"]
    # Its vector is a constant indeed.
    vectors = pooled(trained, list(draw_passages(
        trained.text.validation, positions=32, documents=3, per_document=2, seed=0
    ).ids_NT))  # fmt: skip
    assert np.ptp(vectors[3]["cls"], axis=0) == pytest.approx(np.zeros(32), abs=1e-6)
    with pytest.raises(SweepError, match="positions=64 exceeds the run's seq_len=32"):
        measure(trained, Options(), lambda *parts: None)


def test_sts_ranks_by_the_angle() -> None:
    angles = np.array([0.1, 0.5, 1.0, 1.5, 2.0])
    one = np.stack([np.ones(5), np.zeros(5)], axis=1)
    other = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    vectors = [{"cls": np.concatenate([one, other])}]
    found, missing = sts_spearman(-angles, vectors, vectors_of=(0, "cls"))
    assert found["raw"] == pytest.approx(1.0)
    assert missing == {"without_3_directions": "without 3 directions nothing is left"}
    equal = [{"cls": np.ones((10, 2))}]
    found, missing = sts_spearman(angles, equal, vectors_of=(0, "cls"))
    assert set(found.values()) == {None}
    assert missing["raw"] == "all cosines are equal, and so rank nothing"


def test_scored_pairs_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    row = {"text1": "A cat.", "text2": "A dog.", "score": 1.5}
    path.write_text("\n".join([json.dumps(row)] * 3 + ['{"text1": "A cat."}']))
    with pytest.raises(EvaluationError, match="line 4 is no scored pair"):
        read_sentence_pairs(path)
    for score in (math.nan, True, "1"):
        path.write_text(json.dumps(row | {"score": score}))
        with pytest.raises(EvaluationError, match=r"line 1 is no scored pair \(score\)"):
            read_sentence_pairs(path)
    path.write_text(json.dumps(row))
    with pytest.raises(EvaluationError, match="has 1 pairs"):
        read_sentence_pairs(path)
    path.write_text("\n".join([json.dumps(row)] * 3))
    found = read_sentence_pairs(path)
    assert found.one == ("A cat.",) * 3
    assert found.scores_P.tolist() == [1.5] * 3
    (tmp_path / "pairs.jsonl.gz").write_bytes(b"no gzip")
    with pytest.raises(EvaluationError, match="no whole gzip file"):
        read_sentence_pairs(tmp_path / "pairs.jsonl.gz")


@pytest.mark.slow
def test_a_sweep_trains_and_measures_in_processes_of_an_engine(tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.jsonl"
    words = ("one", "two", "three", "four")
    pairs.write_text(
        "\n".join(
            json.dumps({"text1": word, "text2": f"{word} more", "score": index})
            for index, word in enumerate(words)
        )
    )
    path = write_tiny_sweep(tmp_path, arch=["encoder", "decoder"], train_tokens=2560)
    wanted = {
        "measurement": "cls_geometry", "weights": ["trained", "initial"], "positions": 16,
        "per_document": 2, "documents": 3, "sts": str(pairs),
    }  # fmt: skip
    path.write_text(path.read_text() + f"  evaluations: {json.dumps({'value': [wanted]})}\n")
    root = ["--root", str(tmp_path / "runs")]
    run = CliRunner().invoke
    told = run(main, ["plan", str(path), *root, "--no-calibration"])
    assert "then measured: cls_geometry, 4 evaluations, 4 left" in told.output
    told = run(main, ["run", str(path), *root, "--wandb", "disabled", "--workers", "2"])
    assert told.exit_code == 0, told.output
    assert "6 of 6 cells are done" in told.output
    again = ["evaluate", "tiny", *root, "--json", "--wandb", "disabled"]
    found = json.loads(run(main, again).stdout)["evaluations"]
    assert [one["state"] for one in found] == ["done"] * 4
    assert found[0]["values"]["layers"]["1"]["cls"]["sts_spearman"]["raw"] is not None
    more = [*again, "--measurement", "cls_geometry", "--set", "positions=12",
            "--set", "per_document=2", "--set", "documents=3"]  # fmt: skip
    added = json.loads(run(main, more).stdout)["evaluations"]
    assert [one["state"] for one in added] == ["done"] * 2
    told = run(main, ["status", "tiny", *root, "--json"])
    assert json.loads(told.stdout)["counts"] == {"done": 8}
    # What was added stays with the sweep when it is run again.
    assert run(main, ["run", str(path), *root, "--wandb", "disabled"]).exit_code == 0
    told = run(main, ["status", "tiny", *root, "--json"])
    assert json.loads(told.stdout)["counts"] == {"done": 8}
