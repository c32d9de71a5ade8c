"""Minimal pairs: ties, shares with intervals, and words that the training text knows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import torch

from scaling.errors import EvaluationError, SweepError
from scaling.evaluate.intervals import wilson
from scaling.evaluate.measurement import Trained
from scaling.evaluate.minimal_pairs import (
    MinimalPair,
    first_of_each,
    has_frequent_words,
    ranking,
    read_pairs,
    word_counts,
)
from scaling.evaluate.pair_ranking import MINIMAL_PAIRS, Options
from scaling.evaluate.sentence_scores import sentence_scores
from scaling.models import build_model
from tests.factories import make_text, spec_for


def pair(paradigm: str, phenomenon: str = "agreement") -> MinimalPair:
    return MinimalPair(good="she runs", bad="she run", paradigm=paradigm, phenomenon=phenomenon)


def test_a_tie_is_one_half_and_what_has_no_score_is_counted_apart() -> None:
    pairs = [pair("a"), pair("a"), pair("b"), pair("b", "islands"), pair("b")]
    good = np.array([-1.0, -5.0, -3.0, -2.0, np.nan])
    bad = np.array([-2.0, -4.0, -3.0, -7.0, -1.0])
    found = ranking(pairs, good, bad)
    assert found["paradigms"]["a"]["accuracy"] == 0.5
    assert found["paradigms"]["b"]["accuracy"] == 0.75
    assert found["phenomena"]["agreement"]["accuracy"] == 0.5
    assert found["phenomena"]["islands"] == found["phenomena"]["islands"] | {
        "accuracy": 1.0, "pairs": 1
    }  # fmt: skip
    assert (found["pairs"], found["ties"], found["unscored"]) == (4, 1, 1)
    mean = found["mean_over_paradigms"]
    assert mean["accuracy"] == 0.625
    half = scipy.stats.t.ppf(0.975, 1) * 0.125
    assert (mean["low"], mean["high"]) == pytest.approx((0.625 - half, 0.625 + half))


def test_without_a_scored_pair_there_is_no_mean() -> None:
    found = ranking([pair("a")], np.array([np.nan]), np.array([-1.0]))
    assert found["mean_over_paradigms"] is None
    assert found["unscored"] == 1


@pytest.mark.parametrize(("right", "count"), [(0, 10), (7, 10), (540, 1000), (10, 10)])
def test_the_interval_of_a_share_is_scipys(right: int, count: int) -> None:
    expected = scipy.stats.binomtest(right, count).proportion_ci(0.95, method="wilson")
    assert wilson(right, count) == pytest.approx((expected.low, expected.high))


def test_words_are_counted_in_the_training_split(tmp_path: Path) -> None:
    text = make_text(tmp_path)
    counts = word_counts(text)
    words = " ".join(
        text.tokenizer.decode(text.train.ids[first:end])
        for first, end in zip(
            text.train.document_starts[:-1], text.train.document_starts[1:], strict=True
        )
    ).split()
    word = max(set(words), key=words.count)
    assert counts[word] == words.count(word)
    assert counts.total() == len(words)
    known = MinimalPair(good=f"{word.title()} {word}.", bad=word)
    assert has_frequent_words(known, counts, counts[word])
    assert not has_frequent_words(known, counts, counts[word] + 1)
    assert not has_frequent_words(MinimalPair(good=word, bad="unheard-of"), counts, 1)


def test_the_first_pairs_of_each_paradigm_are_taken() -> None:
    pairs = [pair("a"), pair("b"), pair("a"), pair("a")]
    assert [p.paradigm for p in first_of_each(pairs, 2)] == ["a", "b", "a"]
    assert first_of_each(pairs, 0) == pairs


def test_lines_become_pairs_and_bad_ones_are_named(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"

    def pairs_of(*rows: dict[str, str]) -> list[MinimalPair]:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return read_pairs(path)

    plain = {"good": "a", "bad": "b"}
    found = pairs_of(plain, plain | {"phenomenon": "p"}, plain | {"phenomenon": "p", "uid": "u"})
    assert [(p.paradigm, p.phenomenon) for p in found] == [
        ("pairs", "pairs"), ("p", "p"), ("u", "p")
    ]  # fmt: skip
    with pytest.raises(EvaluationError, match=r"pairs\.jsonl, line 2 has no sentence in .*'bad'"):
        pairs_of(plain, {"good": "a"})
    with pytest.raises(EvaluationError, match="holds no pair"):
        pairs_of()


@pytest.mark.parametrize(("arch", "objective"), [("decoder", "clm"), ("encoder", "mlm")])
def test_a_finished_run_ranks_the_pairs_of_a_file(
    tmp_path: Path, arch: str, objective: str
) -> None:
    text = make_text(tmp_path)
    spec = spec_for(text, arch=arch, objective=objective)
    path = tmp_path / "pairs.jsonl"
    rows = [{"good": "ab cd", "bad": "cd ab", "uid": "order"},
            {"good": "x" * 80, "bad": "x", "uid": "long"},
            {"good": "same", "bad": "same", "uid": "tie"}]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    model = build_model(spec).eval()
    trained = Trained(spec=spec, model=model, device=torch.device("cpu"), root=tmp_path)
    told: list[tuple[int, int]] = []
    options = Options(pairs=str(path), min_count=0)
    values = MINIMAL_PAIRS.measure(trained, options, lambda *at: told.append(at))
    assert values["all"]["unscored"] == 1
    assert values["all"]["paradigms"]["tie"]["accuracy"] == 0.5
    good, bad = sentence_scores(
        model, spec, text.tokenizer, ["ab cd", "cd ab"], device=trained.device
    )
    assert values["all"]["paradigms"]["order"]["accuracy"] == float(good > bad)
    assert values["frequent_words"] == values["all"]
    assert told[-1] == (6, 6)
    rare = MINIMAL_PAIRS.measure(
        trained, Options(pairs=str(path), min_count=10**9), lambda *at: None
    )
    assert rare["frequent_words"]["mean_over_paradigms"] is None
    assert "frequent_words.mean_over_paradigms" in rare["missing"]


def test_options_that_break_a_rule_say_so() -> None:
    with pytest.raises(SweepError, match="needs pairs: set pairs=PATH"):
        Options()
    with pytest.raises(SweepError, match="per_paradigm=-1 is negative"):
        Options(pairs="p.jsonl", per_paradigm=-1)
