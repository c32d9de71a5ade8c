"""What is predicted, and from what: one file per objective.

An objective turns text into batches and a model's outputs into summed losses. To add one, write
a file with a class that follows `Objective` and name it here.
"""

from __future__ import annotations

from scaling.objectives.clm import CausalLanguageModelling
from scaling.objectives.diffusion import MaskedDiffusion
from scaling.objectives.mlm import MaskedLanguageModelling
from scaling.objectives.nsp import MaskedWithNextSentence, NextSentenceAlone
from scaling.objectives.objective import Batch, Objective, Term, Terms
from scaling.objectives.pair_format import MaskedOnPairs
from scaling.objectives.prefix_lm import PrefixLanguageModelling
from scaling.objectives.sop import MaskedWithSentenceOrder

OBJECTIVES: dict[str, Objective] = {
    "clm": CausalLanguageModelling(),
    "mlm": MaskedLanguageModelling(),
    "mlm-pairs": MaskedOnPairs(),
    "mlm+nsp": MaskedWithNextSentence(),
    "mlm+sop": MaskedWithSentenceOrder(),
    "nsp": NextSentenceAlone(),
    "diffusion": MaskedDiffusion(),
    "prefix": PrefixLanguageModelling(),
}

__all__ = ["OBJECTIVES", "Batch", "Objective", "Term", "Terms"]
