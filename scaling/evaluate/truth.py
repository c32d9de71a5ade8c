"""Generated documents of a grammar, measured against the distribution that they should have."""

# Tensor axes: B documents, T tokens, M sentences.

from __future__ import annotations

from typing import Any

import numpy as np

from scaling.evaluate.intervals import wilson
from scaling.grammar.inference import HIDDEN, log_prob
from scaling.grammar.noisy import is_valid, noisy_log_prob, true_log_prob
from scaling.grammar.rules import ALPHABET, Grammar
from scaling.tokenizer import BYTES_VOCAB_SIZE, FIRST_TEXT_ID, MASK_ID

_N_TEXT_IDS = BYTES_VOCAB_SIZE - FIRST_TEXT_ID


def against_truth(
    grammar: Grammar,
    windows_BT: np.ndarray,
    canvases_BT: np.ndarray,
    log_q_B: np.ndarray | None,
    *,
    given_order: bool = True,
) -> dict[str, Any]:
    """How grammatical and how likely documents are; nats per token that was filled in.

    Args:
        windows_BT: ids of finished windows [CLS] document [SEP].
        canvases_BT: the same before they were filled, with [MASK].
        log_q_B: log-probability in nats with which each was drawn, where that is known.
        given_order: whether that is of the text itself, and not given its order of filling.
    Returns:
        Shares of valid sentences and documents; the true log-probability of the valid documents;
        that of all documents through the noisy channel of `scaling.grammar.noisy`, given what was
        given; and, where `log_q_B` is there, the estimate of KL(sampler || noisy truth).
    """
    tokens_BT, given_BT = terminals(windows_BT), terminals(canvases_BT)
    n_filled = int((given_BT[0] == HIDDEN).sum())
    valid_BM = is_valid(grammar, tokens_BT)
    valid_B = np.logical_and.reduce(valid_BM, axis=1)
    context_B = noisy_log_prob(grammar, given_BT, _N_TEXT_IDS)
    noisy_B = (noisy_log_prob(grammar, tokens_BT, _N_TEXT_IDS) - context_B) / n_filled
    low, high = wilson(float(valid_B.sum()), len(valid_B))
    found: dict[str, Any] = {
        "valid_sentences": float(valid_BM.mean()),
        "valid_sentence_count": int(valid_BM.sum()),
        "valid_documents": float(valid_B.mean()),
        "valid_documents_low": low,
        "valid_documents_high": high,
        "noisy_log_prob_nats": float(noisy_B.mean()),
        "noisy_log_prob_standard_error": _error(noisy_B),
        "valid_log_prob_nats": None,
    }
    if valid_B.any():
        true_B = true_log_prob(grammar, tokens_BT[valid_B]) - log_prob(grammar, given_BT[valid_B])
        true_B = true_B / n_filled
        found["valid_log_prob_nats"] = float(true_B.mean())
    if log_q_B is not None:
        kl_B = log_q_B / n_filled - noisy_B
        # Texts of a random order come from a mixture over orders, which is nearer to the truth
        # than its parts are on average: the divergence is convex.
        kind = "exact" if given_order else "upper_bound"
        found |= {"kl_nats": float(kl_B.mean()), "kl_standard_error": _error(kl_B)}
        found["kl_kind"] = kind
    return found


def terminals(windows_BT: np.ndarray) -> np.ndarray:
    """Terminals of windows [CLS] document [SEP]; HIDDEN for [MASK], others as they fall."""
    ids_BT = windows_BT[:, 1:-1]
    numbers_BT = ids_BT - FIRST_TEXT_ID - ord(ALPHABET[0])
    # Tokens below the alphabet would be negative, which HIDDEN is.
    foreign_BT = (numbers_BT < 0) | (numbers_BT >= len(ALPHABET))
    numbers_BT = np.where(foreign_BT, len(ALPHABET), numbers_BT)
    return np.where(ids_BT == MASK_ID, HIDDEN, numbers_BT)


def _error(values_B: np.ndarray) -> float:
    return float(values_B.std(ddof=1) / np.sqrt(len(values_B)))
