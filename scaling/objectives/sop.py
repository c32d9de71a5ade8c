"""Sentence-order prediction: two neighbouring segments, in their order or swapped.

Both segments of a wrong pair share their topic, so only their coherence tells.
Source: Lan et al. 2020 (ALBERT), arXiv:1909.11942, section 3.1.
"""

from __future__ import annotations

from scaling.grammar.pairs import Negatives
from scaling.objectives.nsp import MaskedWithNextSentence
from scaling.spec import RunSpec


class MaskedWithSentenceOrder(MaskedWithNextSentence):
    """MLM and sentence-order prediction on one forward pass."""

    pair_term: str | None = "sop"

    def negatives(self, spec: RunSpec) -> Negatives:
        return "swapped"
