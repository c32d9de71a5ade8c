"""Our models beside those of `transformers`, with copied weights."""

from __future__ import annotations

from typing import Any

import torch

from scaling.export import to_transformers
from scaling.models import LanguageModel, build_model
from scaling.spec import RunSpec
from scaling.transformers_names import FORMATS
from tests.factories import make_spec

# Head width 7, nothing a power of two, and fewer positions than the model has.
ODD = {"d_model": 35, "n_head": 5, "d_ff": 51, "n_layer": 3, "vocab_size": 71, "seq_len": 13}
ODD_HORIZONS = {
    "batch_tokens": 13, "train_tokens": 130, "warmup_tokens": 0, "cooldown_tokens": 0,
}  # fmt: skip
SHAPES: dict[str, dict[str, Any]] = {"even": {"n_layer": 2}, "odd": ODD | ODD_HORIZONS}


def pair_of_models(arch: str, shape: str) -> tuple[RunSpec, LanguageModel, Any]:
    """Ours, with every parameter moved away from 0 and 1, and theirs with the same weights."""
    spec = make_spec(arch=arch, **SHAPES[shape])
    ours = build_model(spec)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return spec, ours, to_transformers(spec, ours)


def random_ids(spec: RunSpec, *, rows: int, n_positions: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(4, spec.vocab_size, (rows, n_positions), generator=generator)


def largest_gradient_difference(arch: str, ours: LanguageModel, theirs: Any) -> float:
    """Over all parameters; each of theirs must have a counterpart, but those that they tie."""
    named = {name: parameter.grad for name, parameter in ours.named_parameters()}
    assert None not in named.values(), "every parameter has a gradient"
    mapped = FORMATS[arch].weights(named)  # type: ignore[arg-type]
    differences = {}
    for name, parameter in theirs.named_parameters():
        difference = (mapped[name] - parameter.grad)[_trained(arch, name)]
        differences[name] = float(difference.abs().max()) if difference.numel() else 0.0
    assert len(differences) == len(mapped)
    return max(differences.values())


def _trained(arch: str, name: str) -> slice:
    # RoBERTa's format has rows that ours lacks: the position of padding and the one segment.
    if arch == "roberta" and name.endswith("position_embeddings.weight"):
        return slice(1, None)
    if arch == "roberta" and name.endswith("token_type_embeddings.weight"):
        return slice(0, 0)
    return slice(None)
