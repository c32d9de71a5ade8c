"""What is predicted, and from what: one file per objective.

An objective turns text into batches and a model's outputs into summed losses. To add one, write
a file with a class that follows `Objective` and name it here.
"""

from __future__ import annotations

from scaling.objectives.clm import CausalLanguageModelling
from scaling.objectives.diffusion import MaskedDiffusion
from scaling.objectives.mlm import MaskedLanguageModelling
from scaling.objectives.nsp import MaskedWithNextSentence
from scaling.objectives.objective import Batch, Objective, Terms
from scaling.objectives.prefix_lm import PrefixLanguageModelling

OBJECTIVES: dict[str, Objective] = {
    "clm": CausalLanguageModelling(),
    "mlm": MaskedLanguageModelling(),
    "mlm+nsp": MaskedWithNextSentence(),
    "diffusion": MaskedDiffusion(),
    "prefix": PrefixLanguageModelling(),
}

__all__ = ["OBJECTIVES", "Batch", "Objective", "Terms"]
