"""The measurement and the command, on tiny trained models; canvases and judges."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from safetensors.torch import save_file

from scaling.cli import main
from scaling.corpora.grammar import KIND
from scaling.errors import EvaluationError
from scaling.evaluate.canvases import real_windows, with_blanks
from scaling.evaluate.cell import evaluate_cell
from scaling.evaluate.generation import GenerationOptions, unfit
from scaling.evaluate.judge import check_held_out, check_judge, judged_nats
from scaling.evaluate.measurement import make_evaluation
from scaling.generation.canvas import canvas, split_gap
from scaling.generation.sampler import GenerationError
from scaling.generation.shown import Stream, printable
from scaling.generation.shown import with_blanks as shown_with_blanks
from scaling.models import build_model
from scaling.spec import RunSpec
from scaling.store import Store
from scaling.text import Text, load_text
from scaling.tokenizer import CLS_ID, FIRST_TEXT_ID, MASK_ID, SEP_ID, byte_tokenizer
from tests.factories import make_record, spec_for, write_documents

GRAMMAR = f"{KIND}:depth=2,symbols=4,rules=2,sentences=2,topics=2,documents=64," + (
    "validation_documents=64"
)
CAUSAL = {"arch": "decoder", "objective": "clm"}
MASKED = {"arch": "encoder", "objective": "diffusion"}


def finished(store: Store, spec: RunSpec) -> RunSpec:
    """Puts a run with its initial weights into the store, as if it were trained."""
    store.add(spec)
    folder = store.folder(spec.run_id)
    (folder / "record.json").write_text(make_record(spec).to_json())
    save_file(build_model(spec).state_dict(), folder / "weights.safetensors")
    return spec


@dataclasses.dataclass
class Study:
    store: Store
    causal: RunSpec
    masked: RunSpec
    text_run: RunSpec
    judge: RunSpec
    text: Text


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("study")
    store = Store(folder / "runs")
    whole = f"files:{write_documents(folder / 'text.jsonl', n_documents=120)}"

    def loaded(corpus: str) -> Text:
        return load_text(corpus=corpus, tokenizer="bytes", vocab_size=None, cache=store.cache)

    grammar, text = loaded(GRAMMAR), loaded(f"half:first:{whole}")
    short = {"seq_len": 10, "batch_tokens": 510, "train_tokens": 510 * 20,
             "warmup_tokens": 0, "cooldown_tokens": 0}  # fmt: skip
    return Study(
        store=store,
        causal=finished(store, spec_for(grammar, **CAUSAL, **short)),
        masked=finished(store, spec_for(grammar, **MASKED, **short)),
        text_run=finished(store, spec_for(text, **MASKED)),
        judge=finished(store, spec_for(loaded(f"half:second:{whole}"), **CAUSAL)),
        text=text,
    )


def measured(study: Study, run: RunSpec, **options: Any) -> tuple[dict[str, Any], dict[str, str]]:
    record = evaluate_cell(make_evaluation("generation", run.run_id, options), study.store)
    return record.values, dict(record.missing)


def test_a_causal_model_of_a_grammar_is_measured_against_the_truth(study: Study) -> None:
    values, missing = measured(study, study.causal, samples=20)
    assert values["sampler"] == "ancestral"
    assert values["tokens_per_text"] == 8
    real, written = values["real"]["truth"], values["written"]["truth"]
    assert real["valid_documents"] == 1.0
    assert written["valid_sentences"] < 0.5
    assert written["kl_kind"] == "exact"
    assert written["kl_nats"] > 1
    assert real["noisy_log_prob_nats"] > written["noisy_log_prob_nats"] + 1
    # One token, one pass of one position.
    assert values["cost"]["forward_passes_per_token"] == values["cost"]["positions_per_token"] == 1
    assert missing["written.judge"] == "the option `judge` names no run"
    again, _ = measured(study, study.causal, samples=20)
    for found in (values, again):
        found["cost"].pop("seconds_per_token")
        found["cost"].pop("seconds_per_valid_sentence")
    assert values == again


@pytest.mark.parametrize("given", ["nothing", "prefix", "both_sides"])
def test_a_masked_model_fills_what_is_asked_for(study: Study, given: str) -> None:
    values, _ = measured(study, study.masked, samples=8, given=given, sampler="gibbs", sweeps=1)
    assert values["tokens_per_text"] == {"nothing": 8, "prefix": 4, "both_sides": 4}[given]
    # The first fill and one sweep, a pass of a whole window for each token.
    assert values["cost"]["forward_passes_per_token"] == 2
    assert values["cost"]["positions_per_token"] == 2 * 10
    assert values["moves"]["accepted_share"] == 1.0
    assert 0.5 < values["moves"]["novel_share"] <= 1.0
    assert "kl_nats" not in values["written"]["truth"]


def test_text_is_judged_by_a_model_of_other_documents(study: Study) -> None:
    values, missing = measured(study, study.text_run, samples=8, judge=study.judge.run_id)
    assert values["written"]["truth"] is None
    assert "not known" in missing["written.truth"]
    # Untrained, the judge finds all bytes about equally likely.
    for who in ("written", "real"):
        assert values[who]["judge"]["nats_per_token"] == pytest.approx(np.log(260), abs=0.3)
        assert 0 < values[who]["diversity"]["unigram_entropy_nats"] < 6


def test_a_judge_that_has_read_the_text_is_refused(study: Study) -> None:
    with pytest.raises(EvaluationError, match=r"was trained on .* train documents.*half:second"):
        check_held_out("0" * 16, study.text, study.text)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (MASKED, "gives no exact probability of a text"),
        ({"tokenizer_fingerprint": "other"}, "reads other tokens"),
        ({"seq_len": 16, "batch_tokens": 512}, "reads seq_len=16 positions, and the run writes 32"),
    ],
)
def test_a_judge_must_be_able_to_read(study: Study, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        check_judge(study.judge.replace(**changes), study.text_run)


def test_the_judges_nats_are_those_of_the_chain(study: Study) -> None:
    model = build_model(study.judge).eval()
    ids_BT = torch.from_numpy(real_windows(study.text, seq_len=32, n_texts=3))
    canvases_BT = torch.from_numpy(with_blanks(ids_BT.numpy(), "prefix"))
    found = judged_nats(model, ids_BT, canvases_BT, device=torch.device("cpu"))
    log_p_BTV = model.logits(model(ids_BT)).detach().double().log_softmax(-1)
    for row, nats in enumerate(found):
        first = int((canvases_BT[row] == MASK_ID).int().argmax())
        expected = [-float(log_p_BTV[row, t - 1, ids_BT[row, t]]) for t in range(first, 32)]
        assert nats == pytest.approx(np.mean(expected), abs=1e-6)


def test_windows_lie_within_documents(study: Study) -> None:
    windows_BT = real_windows(study.text, seq_len=32, n_texts=40)
    assert (windows_BT[:, 1:] >= FIRST_TEXT_ID).all()
    assert len({tuple(row) for row in windows_BT.tolist()}) == 40
    with pytest.raises(EvaluationError, match="samples=100000, but the validation split"):
        real_windows(study.text, seq_len=32, n_texts=100_000)


def test_blanks_by_hand() -> None:
    window = np.array([[CLS_ID, 10, 11, 12, 13, 14, 15, 16, 17, SEP_ID]])
    blank = {g: (with_blanks(window, g)[0] == MASK_ID).nonzero()[0].tolist()
             for g in ("nothing", "prefix", "both_sides")}  # fmt: skip
    assert blank == {
        "nothing": [1, 2, 3, 4, 5, 6, 7, 8], "prefix": [5, 6, 7, 8], "both_sides": [3, 4, 5, 6],
    }  # fmt: skip


def test_a_sampler_of_the_other_family_is_no_cell(study: Study) -> None:
    assert "choose ancestral" in str(unfit(study.causal, GenerationOptions(sampler="gibbs")))
    assert unfit(study.masked, GenerationOptions(sampler="gibbs")) is None
    assert unfit(study.causal, GenerationOptions()) is None
    wanted = ["--measurement", "generation", "--set", "sampler=gibbs"]
    result = scaling("evaluate", study.causal.run_id, *wanted, "--root", study.store.root)
    assert result.exit_code == 2
    assert "no run can be measured so: sampler='gibbs' does not fit" in result.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": 1}, "samples=1 leave nothing to compare"),
        ({"sampler": "beam"}, "sampler='beam' is unknown; known: default, ancestral"),
        ({"sampler": "gibbs", "steps": 3}, "steps=3 has no use for sampler='gibbs'"),
        ({"seed": -1}, "seed=-1 is negative"),
        ({"temperature": -1.0}, "temperature=-1.0 is not 0 or more"),
    ],
)
def test_wrong_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises((EvaluationError, GenerationError), match=message):
        GenerationOptions(**options)


# The command


def scaling(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def generate(study: Study, run: RunSpec, *arguments: object) -> Result:
    return scaling("generate", run.run_id[:8], "--root", study.store.root, *arguments)


def test_the_command_goes_on_from_a_prompt(study: Study) -> None:
    asked = ("--prompt", "!!", "--tokens", 6, "--seed", 4)
    result = generate(study, study.causal, *asked)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("!!")
    assert generate(study, study.causal, *asked).stdout == result.stdout
    found = json.loads(generate(study, study.causal, *asked, "--json").stdout)
    assert found["sampler"] == "ancestral"
    text = found["texts"][0]
    assert printable(text["text"]) + "\n" == result.stdout
    assert text["text"] == "!!" + text["written"]
    # The prompt with [CLS], and all tokens but the last, which nothing follows.
    assert found["cost"]["positions"] == 3 + 5


def test_the_command_fills_a_gap_with_either_family(study: Study) -> None:
    for run, sampler in ((study.causal, "importance"), (study.masked, "any_order")):
        given = ("--infill", "!![ ]##", "--tokens", 3, "--texts", 2)
        found = json.loads(generate(study, run, *given, "--json").stdout)
        assert found["sampler"] == sampler
        assert len(found["texts"]) == 2
        for text in found["texts"]:
            assert text["text"].startswith("!!")
            assert text["text"].endswith("##")


def test_the_command_shows_steps(study: Study) -> None:
    result = generate(study, study.masked, "--prompt", "!", "--tokens", 3, "--show-steps")
    lines = result.stdout.splitlines()
    assert [line.count("_") for line in lines] == [2, 1, 0]
    assert lines[0].startswith("   1  !")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--tokens", "99"], "there is no room for 99 more"),
        (["--infill", "no gap"], "the text has 0 gaps"),
        (["--infill", "a [ ]", "--prompt", "b"], "put the prompt left of"),
        (["--sampler", "gibbs"], "'gibbs' does not fit objective='clm'"),
        (["--top-p", "2"], r"top_p=2.0 is not in (0, 1]"),
        (["--seed", "-1"], "seed=-1 is negative"),
    ],
)
def test_the_command_says_what_is_wrong(study: Study, arguments: list[str], message: str) -> None:
    result = generate(study, study.causal, *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_an_unknown_run_is_told_in_one_line(tmp_path: Path) -> None:
    result = scaling("generate", "0123", "--root", tmp_path)
    assert result.exit_code == 2
    assert "the store holds no cell; give the folder of another with --root" in result.stderr


def test_canvases_of_the_command() -> None:
    tokenizer = byte_tokenizer()
    ids = canvas(tokenizer, "ab", "c", 3, seq_len=10).tolist()
    a = FIRST_TEXT_ID + ord("a")
    assert ids == [CLS_ID, a, a + 1, MASK_ID, MASK_ID, MASK_ID, a + 2]
    assert len(canvas(tokenizer, "ab", "c", None, seq_len=10)) == 10
    assert split_gap("a [ ] b") == ("a ", " b")
    assert shown_with_blanks(tokenizer, ids) == "ab___c"


def test_a_terminal_gets_whole_characters_and_no_controls() -> None:
    tokenizer = byte_tokenizer()
    stream = Stream(tokenizer)
    pieces = [stream.text([FIRST_TEXT_ID + byte]) for byte in "é\x1b[2J\n".encode()]
    assert pieces == ["", "é", "\\x1b", "[", "2", "J", "\n"]
    assert stream.text([FIRST_TEXT_ID + 0xC3]) == ""
    assert stream.text([], final=True) == "\N{REPLACEMENT CHARACTER}"
