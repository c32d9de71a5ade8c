"""GPT-2 as published: pre-LN, learned positions, tied head without bias, GELU by tanh.

Source: Radford et al. 2019, "Language models are unsupervised multitask learners", section 2.3,
and the released code.
"""

from __future__ import annotations

from scaling.models.layers import Architecture
from scaling.models.transformer import LanguageModel
from scaling.spec import RunSpec

GPT2 = Architecture(
    norms="before",
    is_causal=True,
    gelu="tanh",
    norm_eps=1e-5,
    scales_residuals=True,
)


def gpt(spec: RunSpec) -> LanguageModel:
    return LanguageModel(spec, GPT2)
