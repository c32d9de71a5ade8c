"""How far word overlap solves a task on pairs, and what a frozen model knows of it.

The overlap of two segments is one number; a threshold on it, found on pairs of the training split,
makes a classifier. No such number tells an order, so on swapped pairs it guesses: half are right.
"""

from __future__ import annotations

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from scaling.batches import PairBatch
from scaling.evaluate.pair_tasks import Share, segment_masks, share
from scaling.tokenizer import Tokenizer

_MAX_ITERATIONS = 1000
# Words of one letter count too: a generated language has no others.
_WORDS = r"(?u)\b\w+\b"


def texts_of(batch: PairBatch, tokenizer: Tokenizer) -> tuple[list[str], list[str]]:
    """The first and the second segment of each pair as text."""
    masks = segment_masks(batch, slice(None))
    first, second = (
        [tokenizer.decode(ids[mask]) for ids, mask in zip(batch.ids_BT, mask_BT, strict=True)]
        for mask_BT in masks
    )
    return first, second


def overlap_accuracy(
    fitting: PairBatch, judged: PairBatch, tokenizer: Tokenizer, *, by_characters: bool
) -> dict[str, Share]:
    """Accuracy of TF-IDF cosine and of unigram overlap (Jaccard), each with a threshold.

    Args:
        fitting: pairs of the training split, for the threshold and the document frequencies.
        by_characters: count characters instead of words, where the text has no words.
    """
    fit_texts, judge_texts = texts_of(fitting, tokenizer), texts_of(judged, tokenizer)
    counted = (
        {"analyzer": "char", "lowercase": False}
        if by_characters
        else {"analyzer": "word", "token_pattern": _WORDS}
    )
    vectors = TfidfVectorizer(**counted).fit([*fit_texts[0], *fit_texts[1]])
    words = vectors.build_analyzer()

    def cosine(texts: tuple[list[str], list[str]]) -> np.ndarray:
        one, other = (vectors.transform(part) for part in texts)
        return np.asarray(one.multiply(other).sum(axis=1)).ravel()

    def jaccard(texts: tuple[list[str], list[str]]) -> np.ndarray:
        sets = [[set(words(text)) for text in part] for part in texts]
        return np.array([len(a & b) / max(1, len(a | b)) for a, b in zip(*sets, strict=True)])

    return {
        name: threshold_accuracy(
            measure(fit_texts), fitting.is_next_B, measure(judge_texts), judged.is_next_B
        )
        for name, measure in (("tfidf", cosine), ("unigram_overlap", jaccard))
    }


def threshold_accuracy(
    fit_B: np.ndarray, fit_is_next_B: np.ndarray, score_B: np.ndarray, is_next_B: np.ndarray
) -> Share:
    """Accuracy of "is next where the score is over the best threshold of the fitting pairs"."""
    order = np.argsort(fit_B, kind="stable")
    sorted_B, next_B = fit_B[order], fit_is_next_B[order]
    # With the threshold before place i, all from i on are called next.
    right = np.concatenate([[0], np.cumsum(~next_B)]) + next_B.sum()
    right = right - np.concatenate([[0], np.cumsum(next_B)])
    edges = np.concatenate([[-np.inf], (sorted_B[1:] + sorted_B[:-1]) / 2, [np.inf]])
    is_edge = np.concatenate([[True], sorted_B[1:] > sorted_B[:-1], [True]])
    best = edges[is_edge][int(np.argmax(right[is_edge]))]
    return share((score_B > best) == is_next_B)


def probe_accuracy(
    fit_BF: np.ndarray, fit_is_next_B: np.ndarray, features_BF: np.ndarray, is_next_B: np.ndarray
) -> Share:
    """Accuracy of a logistic regression on frozen features, fitted on other pairs."""
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=_MAX_ITERATIONS))
    probe.fit(fit_BF, fit_is_next_B)
    return share(probe.predict(features_BF) == is_next_B)
