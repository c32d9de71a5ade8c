"""The left-to-right chain: a code length whose conditionals are normalised."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from scaling.evaluate.left_to_right import chain, left_to_right_bits_per_byte
from scaling.evaluate.likelihood import bits_per_byte
from scaling.evaluate.queries import log_probs
from scaling.models import build_model
from scaling.text import Text
from scaling.tokenizer import CLS_ID, FIRST_TEXT_ID, MASK_ID, SEP_ID
from tests.factories import make_spec, make_text, spec_for

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Text:
    return make_text(tmp_path_factory.mktemp("text"))


@pytest.mark.parametrize("changes", [{}, {"arch": "gpt"}])
def test_the_chain_of_a_causal_model_is_its_code_length(
    text: Text, changes: dict[str, str]
) -> None:
    spec = spec_for(text, eval_tokens=32 * 6, **changes)
    model = build_model(spec)
    for parameter in model.parameters():
        parameter.data *= 3
    expected = bits_per_byte(model.double(), text, spec, device=CPU)
    model.eval()
    measured = left_to_right_bits_per_byte(model, text, spec, n_windows=6, device=CPU)
    assert measured.kind == "exact"
    assert measured.value == pytest.approx(expected.value, rel=1e-6)


def test_what_is_not_read_yet_is_hidden_and_special_tokens_are_given() -> None:
    a, b, c = FIRST_TEXT_ID + np.arange(3)
    ids_T = np.array([CLS_ID, a, SEP_ID, b, c])
    queries = chain(ids_T, predicts_next=False)
    assert queries.input_ids_RT.tolist() == [
        [CLS_ID, MASK_ID, SEP_ID, MASK_ID, MASK_ID],
        [CLS_ID, a, SEP_ID, MASK_ID, MASK_ID],
        [CLS_ID, a, SEP_ID, b, MASK_ID],
    ]
    assert queries.read_M.tolist() == [1, 3, 4]
    assert queries.targets_M.tolist() == [a, b, c]
    assert chain(ids_T, predicts_next=True).read_M.tolist() == [0, 2, 3]


def test_the_chain_of_a_masked_model_sums_to_one_over_all_texts() -> None:
    """Over all texts of three tokens from a vocabulary of two, which takes all the others."""
    spec = make_spec(arch="encoder", objective="mlm", vocab_size=FIRST_TEXT_ID + 2, seq_len=8)
    model = build_model(spec).eval()
    for parameter in model.parameters():
        parameter.data *= 3
    # No probability for special tokens, so that texts alone are left.
    specials = torch.zeros(spec.vocab_size)
    specials[:FIRST_TEXT_ID] = -math.inf
    model.logits = lambda hidden, plain=model.logits: plain(hidden) + specials  # type: ignore[method-assign, misc]
    total = 0.0
    for letters in itertools.product(FIRST_TEXT_ID + np.arange(2), repeat=3):
        ids_T = np.array([CLS_ID, *letters])
        total += math.exp(log_probs(model, chain(ids_T, predicts_next=False), CPU).sum())
    assert total == pytest.approx(1.0, abs=1e-6)


def test_fewer_windows_have_the_larger_error(text: Text) -> None:
    spec = spec_for(text, arch="encoder", objective="mlm", eval_tokens=32 * 40)
    model = build_model(spec).eval()
    for parameter in model.parameters():
        parameter.data *= 3
    few, many = (
        left_to_right_bits_per_byte(model, text, spec, n_windows=n, device=CPU) for n in (4, 40)
    )
    assert few.standard_error is not None
    assert many.standard_error is not None
    assert many.standard_error < few.standard_error
