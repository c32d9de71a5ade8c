"""Scores of sentences by which a model ranks them: log-likelihood, or pseudo-log-likelihood.

A model of the next token gives a sentence its log-probability. A model of masked tokens gives it
the pseudo-log-likelihood, the sum over its tokens of log P(token | all others): no probability of
anything, so it is used to rank the two sentences of a minimal pair and never stands beside a code
length (Salazar et al. 2020, arXiv:1910.14659). The tokens of a word that follow the asked one are
hidden with it, since they would give it away (Kauf & Ivanova 2023, arXiv:2305.10588, "word-l2r").
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from scaling.byte_level import word_lengths
from scaling.evaluate.queries import Queries, joined, log_probs
from scaling.models import LanguageModel
from scaling.objectives import OBJECTIVES
from scaling.spec import RunSpec
from scaling.tokenizer import CLS_ID, MASK_ID, SEP_ID, Tokenizer

_PORTION_SENTENCES = 64


def sentence_scores(
    model: LanguageModel,
    spec: RunSpec,
    tokenizer: Tokenizer,
    sentences: Sequence[str],
    *,
    device: torch.device,
    on_progress: Callable[[int], None] = lambda done: None,
) -> np.ndarray:
    """The score of each sentence in nats, float64; NaN where it is too long for the model.

    The sentence stands between [CLS] and [SEP], which are given. The end of the sentence is not
    scored, in neither family.

    Args:
        on_progress: told the number of sentences that are done.
    """
    predicts_next = OBJECTIVES[spec.objective].predicts_next
    encoded = [tokenizer.encode(sentence) for sentence in sentences]
    scores = np.full(len(sentences), np.nan)
    done = sum(len(ids) + 2 > spec.seq_len for ids in encoded)
    # Rows of one length need no padding, and a step of the model takes many sentences.
    for same in _by_length(encoded, spec.seq_len - 2):
        queries = [
            next_token(encoded[i]) if predicts_next
            else word_by_word(encoded[i], tokenizer, sentences[i])
            for i in same
        ]  # fmt: skip
        nats = log_probs(model, joined(queries), device)
        ends = np.cumsum([len(q.targets_M) for q in queries])
        for i, part in zip(same, np.split(nats, ends[:-1]), strict=True):
            scores[i] = part.sum()
        done += len(same)
        on_progress(done)
    return scores


def next_token(ids_n: np.ndarray) -> Queries:
    """Each token given those before it: all of them from one row."""
    return Queries(
        input_ids_RT=np.concatenate([[CLS_ID], ids_n, [SEP_ID]])[None],
        row_M=np.zeros(len(ids_n), np.int64),
        read_M=np.arange(len(ids_n)),
        targets_M=ids_n,
    )


def word_by_word(ids_n: np.ndarray, tokenizer: Tokenizer, sentence: str) -> Queries:
    """Each token given all but itself and those that follow it in its word."""
    word_n = _words(ids_n, tokenizer, sentence)
    place_n = np.arange(len(ids_n))
    hidden_nn = (word_n[:, None] == word_n[None, :]) & (place_n[None, :] >= place_n[:, None])
    shown_nn = np.where(hidden_nn, MASK_ID, ids_n[None, :])
    ones_n1 = np.ones((len(ids_n), 1), np.int64)
    return Queries(
        input_ids_RT=np.concatenate([CLS_ID * ones_n1, shown_nn, SEP_ID * ones_n1], axis=1),
        row_M=place_n,
        read_M=place_n + 1,
        targets_M=ids_n,
    )


def _words(ids_n: np.ndarray, tokenizer: Tokenizer, sentence: str) -> np.ndarray:
    """The number of the word that each token starts in; a space belongs to the word after it."""
    starts_n = np.cumsum(tokenizer.bytes_per_id[ids_n]) - tokenizer.bytes_per_id[ids_n]
    words_n: np.ndarray = np.searchsorted(np.cumsum(word_lengths(sentence)), starts_n, side="right")
    return words_n


def _by_length(encoded: Sequence[np.ndarray], longest: int) -> list[list[int]]:
    """Places of sentences of equal length, in portions, the short ones first."""
    portions: dict[int, list[int]] = {}
    for i, ids in enumerate(encoded):
        if 0 < len(ids) <= longest:
            portions.setdefault(len(ids), []).append(i)
    return [
        same[first : first + _PORTION_SENTENCES]
        for _, same in sorted(portions.items())
        for first in range(0, len(same), _PORTION_SENTENCES)
    ]
