"""How varied texts are: low perplexity may come from saying the same thing again and again.

A text is a list of units: tokens, or words. None of these measures says anything by itself: each
stands beside its value for as many real texts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np
from sacrebleu.metrics.bleu import BLEU

ORDERS = (1, 2, 3, 4)
_REPEATED_ORDER = 4

Texts = Sequence[Sequence[Hashable]]


def diversity(texts: Texts) -> dict[str, float]:
    """All measures below, for at least two texts."""
    return {
        "unigram_entropy_nats": unigram_entropy_nats(texts),
        **{f"distinct_{n}": distinct(texts, n) for n in ORDERS},
        "repetition_4": repetition(texts, _REPEATED_ORDER),
        "self_bleu_4": self_bleu(texts),
        "unique_texts": len({tuple(text) for text in texts}) / len(texts),
    }


def unigram_entropy_nats(texts: Texts) -> float:
    """Entropy in nats of the units of all texts taken together; the plug-in estimate."""
    counts = np.array(list(Counter(unit for text in texts for unit in text).values()), float)
    if not len(counts):
        return 0.0
    shares = counts / counts.sum()
    return float(-(shares @ np.log(shares))) + 0.0


def distinct(texts: Texts, n: int) -> float:
    """Different n-grams over all n-grams of all texts (Li et al. 2016, arXiv:1510.03055, 5.1).

    It falls with the number of texts, so only equal numbers compare.
    """
    grams = [gram for text in texts for gram in _grams(text, n)]
    return len(set(grams)) / len(grams) if grams else 0.0


def repetition(texts: Texts, n: int) -> float:
    """Share of n-grams that stood in the same text before, mean over texts.

    Source: "seq-rep-n", Welleck et al. 2020, arXiv:1908.04319, section 6.1.
    """
    shares = [1 - len(set(grams)) / len(grams) for text in texts if (grams := _grams(text, n))]
    return float(np.mean(shares)) if shares else 0.0


def self_bleu(texts: Texts) -> float:
    """BLEU-4 of each text with all the others as references, mean over texts, in percent.

    Source: Zhu et al. 2018, arXiv:1802.01886, section 3.1 (Texygen); as in its code an order
    without a match counts as 0.1 matches. By sacrebleu, whose units are separated by spaces.
    """
    bleu = BLEU(tokenize="none", smooth_method="floor", smooth_value=0.1, effective_order=True)
    numbers = {
        unit: str(i)
        for i, unit in enumerate(dict.fromkeys(unit for text in texts for unit in text))
    }
    spelled = [" ".join(numbers[unit] for unit in text) for text in texts]
    scores = [
        bleu.sentence_score(text, spelled[:i] + spelled[i + 1 :]).score
        for i, text in enumerate(spelled)
    ]
    return float(np.mean(scores))


def _grams(text: Sequence[Hashable], n: int) -> list[tuple[Hashable, ...]]:
    return [tuple(text[i : i + n]) for i in range(len(text) - n + 1)]
