"""Bits per byte: exact for causal models, a bound for masked ones."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from scaling.batches import validation_windows
from scaling.evaluate.likelihood import bits_per_byte
from scaling.evaluate.validation import ratio_of_sums
from scaling.models import build_model
from scaling.objectives.validation_set import spread
from scaling.text import Text
from scaling.tokenizer import FIRST_TEXT_ID, MASK_ID
from tests.factories import make_text, spec_for

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Text:
    return make_text(tmp_path_factory.mktemp("text"))


def test_causal_bits_per_byte_is_the_chain_rule(text: Text) -> None:
    spec = spec_for(text, eval_tokens=64)
    torch.manual_seed(0)
    model = build_model(spec)
    ids_BT = validation_windows(text.validation, seq_len=spec.seq_len, n_sequences=2)
    nats, n_bytes = 0.0, 0
    for row in ids_BT:
        for position in range(1, len(row)):
            if row[position] < FIRST_TEXT_ID:
                continue
            with torch.no_grad():
                hidden = model(torch.from_numpy(row[None, :position]))
                log_p_V = model.logits(hidden[0, -1]).log_softmax(-1)
            nats -= float(log_p_V[row[position]])
            n_bytes += int(text.tokenizer.bytes_per_id[row[position]])
    measured = bits_per_byte(model, text, spec, device=CPU)
    assert measured.kind == "exact"
    assert measured.value == pytest.approx(nats / n_bytes / math.log(2), rel=1e-5)


def test_the_any_order_bound_is_unbiased(text: Text) -> None:
    """Against full enumeration of all masks of a short window."""
    spec = spec_for(
        text, arch="encoder", objective="mlm", seq_len=8, eval_tokens=8 * 4096, warmup_tokens=0
    )
    torch.manual_seed(0)
    model = build_model(spec)
    for parameter in model.parameters():
        parameter.data *= 3  # far from uniform, so that the masks matter
    ids_BT = validation_windows(text.validation, seq_len=8, n_sequences=4096)
    rows = np.random.default_rng(0).choice(len(ids_BT), 48, replace=False)
    exact = [_enumerated_bound(model, ids_BT[row]) for row in rows]
    bytes_per_row = text.tokenizer.bytes_per_id[ids_BT].sum(axis=1)
    expected = np.mean(exact) / bytes_per_row[rows].mean() / math.log(2)
    measured = bits_per_byte(model, text, spec, device=CPU)
    assert measured.kind == "upper_bound"
    spread_of_rows = np.std(exact) / math.sqrt(len(rows)) / bytes_per_row.mean() / math.log(2)
    assert measured.value == pytest.approx(
        expected, abs=4 * math.hypot(measured.standard_error, spread_of_rows)
    )
    assert measured.standard_error < 0.05 * measured.value


def _enumerated_bound(model: torch.nn.Module, ids_T: np.ndarray) -> float:
    positions = [int(p) for p in np.flatnonzero(ids_T >= FIRST_TEXT_ID)]
    n, total = len(positions), 0.0
    for k in range(1, n + 1):
        subsets = list(itertools.combinations(positions, k))
        ids = np.repeat(ids_T[None], len(subsets), axis=0)
        for row, subset in enumerate(subsets):
            ids[row, list(subset)] = MASK_ID
        with torch.no_grad():
            log_p = model.logits(model(torch.from_numpy(ids))).log_softmax(-1)
        losses = [
            -float(log_p[row, position, ids_T[position]])
            for row, subset in enumerate(subsets)
            for position in subset
        ]
        total += n / k * sum(losses) / len(subsets)
    return total / n


def test_a_bound_is_never_below_the_uniform_models_code(text: Text) -> None:
    """A model that knows nothing needs log2(V) bits for each byte, in both directions."""
    for arch, objective in (("decoder", "clm"), ("encoder", "mlm")):
        spec = spec_for(text, arch=arch, objective=objective)
        model = build_model(spec)
        for parameter in model.parameters():
            parameter.data.zero_()
        measured = bits_per_byte(model, text, spec, device=CPU)
        assert measured.value == pytest.approx(math.log2(text.tokenizer.vocab_size), rel=1e-5)


@pytest.mark.parametrize("count", [1, 2, 7, 64, 512, 1000])
def test_spread_is_a_permutation(count: int) -> None:
    assert sorted(spread(i, count) for i in range(count)) == list(range(count))


def test_the_error_of_a_ratio_covers_the_truth() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(400):
        counts = rng.integers(5, 15, 60).astype(float)
        sums = counts * 2.0 + rng.normal(0, np.sqrt(counts))
        mean, error, _ = ratio_of_sums(list(zip(sums, counts, strict=True)))
        hits += abs(mean - 2.0) < 1.96 * error
    assert 0.92 < hits / 400 < 0.98


def test_the_kind_follows_the_objective_and_not_the_attention(text: Text) -> None:
    """A causal model of masked tokens says nothing of the next token: it has a bound only."""
    spec = spec_for(text, arch="decoder", objective="mlm", eval_tokens=64)
    assert bits_per_byte(build_model(spec), text, spec, device=CPU).kind == "upper_bound"


def test_a_single_batch_has_no_error_and_not_an_infinite_one() -> None:
    mean, error, total = ratio_of_sums([(6.0, 3.0)])
    assert (mean, error, total) == (2.0, None, 3.0)
