"""The bidirectional half of the matched pair: `decoder.py` without its causal mask."""

from __future__ import annotations

import dataclasses

from scaling.models.decoder import DECODER
from scaling.models.transformer import LanguageModel
from scaling.spec import RunSpec

ENCODER = dataclasses.replace(DECODER, is_causal=False)


def encoder(spec: RunSpec) -> LanguageModel:
    return LanguageModel(spec, ENCODER)
