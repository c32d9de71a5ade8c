"""The yardstick, given models whose code lengths are known without it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from scaling.batches import validation_windows
from scaling.evaluate.left_to_right import left_to_right_bits_per_byte
from scaling.evaluate.likelihood import bits_per_byte
from scaling.grammar.inference import HIDDEN, hidden_token_probs, log_prob
from scaling.grammar.rules import ALPHABET, Grammar, GrammarKnobs, make_grammar
from scaling.text import Text, load_text
from scaling.tokenizer import FIRST_TEXT_ID, MASK_ID
from tests.factories import make_text, spec_for

CPU = torch.device("cpu")
KNOBS = GrammarKnobs(depth=2, symbols=6, rules=3, sentences=3, topics=2)
CORPUS = "grammar:depth=2,symbols=6,rules=3,sentences=3,topics=2,documents=50"
FIRST_TERMINAL_ID = FIRST_TEXT_ID + ord(ALPHABET[0])


class Known(torch.nn.Module):
    """A model whose logits [B, T, V] are a given function of the ids that it is shown."""

    regions = None  # no part of it is compiled

    def __init__(self, log_probs: Callable[[np.ndarray], np.ndarray]) -> None:
        super().__init__()
        self._log_probs = log_probs

    def forward(self, input_ids_BT: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(self._log_probs(input_ids_BT.numpy()))

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        return hidden


@pytest.mark.parametrize("order", ["unigram", "bigram"])
def test_a_counted_model_has_its_own_code_length(tmp_path: Path, order: str) -> None:
    text = make_text(tmp_path)
    spec = spec_for(text, eval_tokens=32 * 40)
    V = spec.vocab_size
    counts_VV = np.ones((V, V))
    ids = text.train.ids.astype(np.int64)
    np.add.at(counts_VV, (ids[:-1], ids[1:]), 1)
    if order == "unigram":
        counts_VV[:] = counts_VV.sum(axis=0)
    log_p_VV = np.log(counts_VV / counts_VV.sum(axis=1, keepdims=True))
    windows_BT = validation_windows(text.validation, seq_len=spec.seq_len, n_sequences=40)
    nats = n_bytes = 0.0
    for row in windows_BT:
        for before, after in itertools.pairwise(row):
            if after >= FIRST_TEXT_ID:
                nats -= log_p_VV[before, after]
                n_bytes += 1
    measured = bits_per_byte(Known(lambda ids_BT: log_p_VV[ids_BT]), text, spec, device=CPU)
    assert measured.value == pytest.approx(nats / n_bytes / math.log(2), abs=1e-9)


@pytest.fixture(scope="module")
def grammar() -> Grammar:
    return make_grammar(KNOBS)


@pytest.fixture(scope="module")
def language(tmp_path_factory: pytest.TempPathFactory) -> Text:
    cache = tmp_path_factory.mktemp("cache")
    return load_text(corpus=CORPUS, tokenizer="bytes", vocab_size=None, cache=cache)


def entropy_and_model(grammar: Grammar, text: Text, **changes: object):  # type: ignore[no-untyped-def]
    """Bits per byte of the validation documents by their true probability, and the model that
    knows the probability of each hidden token given those that are shown."""
    length = KNOBS.document_tokens + 2
    spec = spec_for(
        text, arch="encoder", objective="mlm", seq_len=length, batch_tokens=8 * length,
        train_tokens=80 * length, warmup_tokens=0, cooldown_tokens=16 * length, **changes,
    )  # fmt: skip

    def log_probs(ids_BT: np.ndarray) -> np.ndarray:
        tokens_BT = ids_BT[:, 1:-1] - FIRST_TERMINAL_ID
        tokens_BT = np.where(ids_BT[:, 1:-1] == MASK_ID, HIDDEN, tokens_BT)
        found = np.full((*ids_BT.shape, spec.vocab_size), -np.inf)
        with np.errstate(divide="ignore"):
            found[:, 1:-1, FIRST_TERMINAL_ID : FIRST_TERMINAL_ID + KNOBS.symbols] = np.log(
                hidden_token_probs(grammar, tokens_BT)
            )
        return found

    n_sequences = spec.eval_tokens // length
    ids_BT = validation_windows(text.validation, seq_len=length, n_sequences=n_sequences)
    nats_B = -log_prob(grammar, ids_BT[:, 1:-1] - FIRST_TERMINAL_ID)
    return float(nats_B.mean()) / KNOBS.document_tokens / math.log(2), Known(log_probs), spec


def test_the_bound_of_true_conditionals_is_the_entropy(grammar: Grammar, language: Text) -> None:
    length = KNOBS.document_tokens + 2
    entropy, model, spec = entropy_and_model(grammar, language, eval_tokens=1024 * length)
    measured = bits_per_byte(model, language, spec, device=CPU)
    assert measured.kind == "upper_bound"
    assert measured.standard_error is not None
    assert measured.standard_error < 0.02 * entropy
    assert measured.value == pytest.approx(entropy, abs=4 * measured.standard_error)


def test_the_chain_of_true_conditionals_is_the_entropy(grammar: Grammar, language: Text) -> None:
    length = KNOBS.document_tokens + 2
    entropy, model, spec = entropy_and_model(grammar, language, eval_tokens=32 * length)
    measured = left_to_right_bits_per_byte(model, language, spec, n_windows=32, device=CPU)
    assert measured.value == pytest.approx(entropy, rel=1e-9)
