"""Scores of sentences against their definitions, and against minicons."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_model

from scaling.evaluate.measurement import load_trained
from scaling.evaluate.sentence_scores import sentence_scores, word_by_word
from scaling.export import export_run, to_transformers
from scaling.models import build_model
from scaling.store import Store
from scaling.text import Text
from scaling.tokenizer import CLS_ID, MASK_ID, SEP_ID, byte_tokenizer, train_bpe
from tests.factories import make_record, make_text, spec_for

CPU = torch.device("cpu")
SENTENCES = ["the cat's tail, it moved.", "Who should Derek hug?", "ab", "x" * 40, "", "zwölf"]


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Text:
    return make_text(tmp_path_factory.mktemp("text"))


def far_from_uniform(model: torch.nn.Module) -> torch.nn.Module:
    for parameter in model.parameters():
        parameter.data *= 3
    return model.eval()


def test_a_causal_score_is_the_chain_rule(text: Text) -> None:
    spec = spec_for(text)
    model = far_from_uniform(build_model(spec))
    scores = sentence_scores(model, spec, text.tokenizer, SENTENCES, device=CPU)
    for sentence, score in zip(SENTENCES, scores, strict=True):
        ids = text.tokenizer.encode(sentence)
        if not 0 < len(ids) <= spec.seq_len - 2:
            assert np.isnan(score)
            continue
        row = torch.tensor([[CLS_ID, *ids]])
        total = 0.0
        for place, target in enumerate(ids, start=1):
            with torch.no_grad():
                logits = model.logits(model(row[:, :place])[0, -1]).double()
            total += float(logits.log_softmax(-1)[target])
        assert score == pytest.approx(total, abs=1e-4)


def test_what_follows_in_a_word_is_hidden_with_the_asked_token() -> None:
    tokenizer = byte_tokenizer()
    sentence = "ab cd."
    queries = word_by_word(tokenizer.encode(sentence), tokenizer, sentence)
    shown = ["".join("?" if i == MASK_ID else chr(i - 4) for i in row[1:-1])
             for row in queries.input_ids_RT]  # fmt: skip
    # The space belongs to the word after it; the full stop is a word.
    assert shown == ["?? cd.", "a? cd.", "ab???.", "ab ??.", "ab c?.", "ab cd?"]
    assert (queries.input_ids_RT[:, 0] == CLS_ID).all()
    assert (queries.input_ids_RT[:, -1] == SEP_ID).all()


def test_words_of_several_merges_are_hidden_as_words() -> None:
    tokenizer = train_bpe(["banana bandana band " * 20], vocab_size=266)
    sentence = "banana band"
    ids = tokenizer.encode(sentence)
    assert len(ids) < len(sentence)
    queries = word_by_word(ids, tokenizer, sentence)
    for place, row in enumerate(queries.input_ids_RT):
        hidden = np.flatnonzero(row == MASK_ID) - 1
        assert hidden[0] == place
        texts = {tokenizer.decode(ids[hidden])}
        assert texts <= {"banana"[-len(t) :] for t in texts} | {" band"[-len(t) :] for t in texts}


@pytest.mark.slow
def test_the_pseudo_log_likelihood_is_that_of_minicons(text: Text, tmp_path: Path) -> None:
    scorer = pytest.importorskip("minicons.scorer", reason="needs minicons: pip install minicons")
    transformers = pytest.importorskip("transformers")
    spec = spec_for(text, arch="roberta", objective="mlm", seq_len=64)
    model = far_from_uniform(build_model(spec))
    store = Store(tmp_path)
    store.add(spec)
    save_model(model, str(store.folder(spec.run_id) / "weights.safetensors"))
    (store.folder(spec.run_id) / "record.json").write_text(make_record(spec).to_json())
    export_run(load_trained(store, spec.run_id, device=torch.device("cpu")), tmp_path / "out")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    tokenizer.batch_encode_plus = tokenizer.__call__  # the name that transformers 5 gave up
    sentences = [sentence for sentence in SENTENCES if sentence]
    theirs = scorer.MaskedLMScorer(
        to_transformers(spec, model), "cpu", tokenizer=tokenizer
    ).sequence_score(
        sentences, reduction=lambda x: float(x.double().sum()), PLL_metric="within_word_l2r"
    )
    ours = sentence_scores(model, spec, text.tokenizer, sentences, device=CPU)
    assert ours == pytest.approx(theirs, rel=1e-5)


def test_progress_counts_every_sentence(text: Text) -> None:
    spec = spec_for(text, arch="encoder", objective="mlm")
    told: list[int] = []
    sentence_scores(
        build_model(spec), spec, text.tokenizer, SENTENCES, device=CPU, on_progress=told.append
    )
    assert told[-1] == len(SENTENCES) - 1  # the empty one has no score
