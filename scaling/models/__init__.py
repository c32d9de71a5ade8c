"""The architectures by name, and how a spec becomes a model."""

from __future__ import annotations

from collections.abc import Callable

import torch

from scaling.models.bert import Bert
from scaling.models.decoder import decoder
from scaling.models.encoder import encoder
from scaling.models.gpt import gpt
from scaling.models.pair_encoder import pair_encoder
from scaling.models.roberta import roberta
from scaling.models.transformer import LanguageModel
from scaling.spec import RunSpec, SpecError

MODELS: dict[str, Callable[[RunSpec], LanguageModel]] = {
    "bert": Bert,
    "roberta": roberta,
    "gpt": gpt,
    "encoder": encoder,
    "encoder-pairs": pair_encoder,
    "decoder": decoder,
}

DEFAULT_OBJECTIVE: dict[str, str] = {
    "bert": "mlm+nsp",
    "roberta": "mlm",
    "gpt": "clm",
    "encoder": "mlm",
    "encoder-pairs": "mlm+nsp",
    "decoder": "clm",
}

__all__ = ["DEFAULT_OBJECTIVE", "MODELS", "LanguageModel", "build_model", "build_shapes"]


def build_model(spec: RunSpec) -> LanguageModel:
    """The spec's model on the CPU, its weights drawn from `spec.seed` alone.

    Raises:
        SpecError: the architecture is unknown, or may not have the spec's attention.
    """
    model = build_shapes(spec).to_empty(device="cpu")
    model.initialise(spec.seed)
    return model


def build_shapes(spec: RunSpec) -> LanguageModel:
    """The spec's model on the meta device: every shape, no memory, no arithmetic.

    Raises:
        SpecError: as `build_model`.
    """
    if spec.arch not in MODELS:
        raise SpecError(f"arch={spec.arch!r} is unknown; known: {', '.join(MODELS)}")
    with torch.device("meta"):
        return MODELS[spec.arch](spec)
