"""RoBERTa: BERT without segments and without next-sentence prediction.

Positions count from 0; the two unused rows of the released models are a matter of their format.
Source: Liu et al. 2019, arXiv:1907.11692, section 3.
"""

from __future__ import annotations

from scaling.models.layers import Architecture
from scaling.models.transformer import LanguageModel
from scaling.spec import RunSpec

ROBERTA = Architecture(
    norms="after",
    is_causal=False,
    gelu="none",
    norm_eps=1e-5,
    head_transform=True,
)


def roberta(spec: RunSpec) -> LanguageModel:
    return LanguageModel(spec, ROBERTA)
