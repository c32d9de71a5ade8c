"""The causal half of the matched pair; `encoder.py` is the other.

GPT-2's block (Radford et al. 2019, section 2.3) with the exact GELU that BERT uses, and weights
that start at a scale that follows the width. The pair shares parameters, initialisation and
FLOPs, and differs in which positions attention may see.
"""

from __future__ import annotations

from scaling.models.layers import Architecture
from scaling.models.transformer import LanguageModel
from scaling.spec import RunSpec

DECODER = Architecture(
    norms="before",
    is_causal=True,
    allows_override=True,
    gelu="none",
    norm_eps=1e-5,
    initial_std=None,
    scales_residuals=True,
)


def decoder(spec: RunSpec) -> LanguageModel:
    return LanguageModel(spec, DECODER)
