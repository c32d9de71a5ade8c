"""AdamW's groups."""

from __future__ import annotations

import pytest

from scaling.models import MODELS, build_model
from scaling.optim import adamw
from tests.factories import make_spec


@pytest.mark.parametrize("arch", MODELS)
def test_matrices_decay_and_biases_and_norms_do_not(arch: str) -> None:
    spec = make_spec(arch=arch, weight_decay=0.3)
    model = build_model(spec)
    decayed, free = adamw(model, spec).param_groups
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    assert decayed["weight_decay"] == 0.3
    assert free["weight_decay"] == 0.0
    assert all("bias" not in names[id(p)] and "norm" not in names[id(p)] for p in decayed["params"])
    assert all("bias" in names[id(p)] or "norm" in names[id(p)] for p in free["params"])
    assert len(decayed["params"]) + len(free["params"]) == len(names)
