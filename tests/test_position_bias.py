"""The bias by distance: what it adds, in which direction, and that nothing else changes."""

from __future__ import annotations

import math

import pytest
import torch

from scaling.accounting import count_params, params_non_embedding, train_flops_per_token
from scaling.models import LanguageModel, build_model
from scaling.models.position_bias import RelativePositionBias
from scaling.optim import adamw
from scaling.spec import RunSpec, SpecError
from tests.factories import make_spec
from tests.parity import random_ids

HEADS, POSITIONS = 2, 32


def make_model(*, moved: float = 0.0, **changes: object) -> tuple[RunSpec, LanguageModel]:
    """A model with the bias, whose numbers are drawn with a spread of `moved`."""
    spec = make_spec(position_bias="relative", n_layer=2, **changes)
    model = build_model(spec).eval()
    assert model.position_bias is not None
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        model.position_bias.weight.normal_(0.0, moved, generator=generator)
    return spec, model


def test_each_head_has_one_number_per_distance() -> None:
    bias = RelativePositionBias(HEADS, POSITIONS)
    with torch.no_grad():
        bias.weight.copy_(torch.arange(len(bias.weight)))
    bias_HTT = bias(0, POSITIONS, POSITIONS)
    assert bias_HTT.shape == (HEADS, POSITIONS, POSITIONS)
    for distance in (-31, -1, 0, 1, 31):
        numbers_HD = bias_HTT.diagonal(distance, dim1=1, dim2=2)
        assert (numbers_HD == numbers_HD[:, :1]).all()
    assert bias_HTT.unique().numel() == HEADS * (2 * POSITIONS - 1)
    # Queries that come later see the same distances.
    assert bias(20, 5, 25).equal(bias_HTT[:, 20:25, :25])


@pytest.mark.parametrize("arch", ["encoder", "decoder"])
@torch.no_grad()
def test_a_new_model_is_that_without_the_bias(arch: str) -> None:
    spec, model = make_model(arch=arch)
    ids_BT = random_ids(spec, rows=2, n_positions=POSITIONS)
    plain = build_model(spec.replace(position_bias="none")).eval()
    assert (model(ids_BT) - plain(ids_BT)).abs().max() < 1e-5


@pytest.mark.parametrize("arch", ["encoder", "decoder"])
def test_scores_are_moved_by_the_bias_before_the_softmax(arch: str) -> None:
    spec, model = make_model(arch=arch, moved=0.2)
    ids_BT = random_ids(spec, rows=2, n_positions=POSITIONS)
    block = model.blocks[0]
    x_BTE = block.attention_norm(model._embed(ids_BT, None))  # type: ignore[operator, union-attr]
    q, k, v = block.attention.qkv(x_BTE).chunk(3, dim=-1)  # type: ignore[operator, union-attr]
    width = spec.d_model // HEADS
    heads = []
    weight_HD = model.position_bias.weight.view(HEADS, -1)  # type: ignore[union-attr]
    for head in range(HEADS):
        part = slice(head * width, (head + 1) * width)
        scores_BTT = q[..., part] @ k[..., part].transpose(1, 2) / math.sqrt(width)
        for query in range(POSITIONS):
            for key in range(POSITIONS):
                scores_BTT[:, query, key] += 8 * weight_HD[head, key - query + POSITIONS - 1]
                if arch == "decoder" and key > query:
                    scores_BTT[:, query, key] = -math.inf
        heads.append(scores_BTT.softmax(-1) @ v[..., part])
    expected_BTE = block.attention.out(torch.cat(heads, -1))  # type: ignore[operator, union-attr]
    found: list[torch.Tensor] = []
    block.attention.register_forward_hook(  # type: ignore[union-attr]
        lambda module, inputs, output: found.append(output)
    )
    for grad in (False, True):  # the fused kernel, and the products
        with torch.set_grad_enabled(grad):
            model(ids_BT)
    for output in found:
        assert (output - expected_BTE).abs().max() < 1e-5


@pytest.mark.parametrize("prefix", [0, 9])
@torch.no_grad()
def test_a_cache_sees_the_same_distances(prefix: int) -> None:
    spec, model = make_model(arch="decoder", moved=0.2)
    ids_BT = random_ids(spec, rows=2, n_positions=24)
    cache = model.new_cache()
    parts = [model.extend(ids_BT[:, :9], cache, is_prefix=prefix > 0)]
    parts += [model.extend(ids, cache) for ids in ids_BT[:, 9:].split([1, 10, 4], dim=1)]
    full_BTE = model(ids_BT, prefix_B=torch.tensor([prefix, prefix]) if prefix else None)
    assert (full_BTE - torch.cat(parts, dim=1)).abs().max() < 1e-5


def test_it_is_trained_and_does_not_decay() -> None:
    spec, model = make_model(arch="encoder")
    assert model.position_bias is not None
    (decaying, kept) = adamw(model, spec).param_groups
    assert any(p is model.position_bias.weight for p in kept["params"])
    assert not any(p is model.position_bias.weight for p in decaying["params"])
    ids_BT = random_ids(spec, rows=2, n_positions=POSITIONS)
    model.logits(model(ids_BT)).logsumexp(-1).sum().backward()
    assert (model.position_bias.weight.grad != 0).all()


def test_counts_take_it_for_an_embedding_without_products() -> None:
    spec = make_spec(arch="encoder", objective="mlm", position_bias="relative")
    plain = spec.replace(position_bias="none")
    assert count_params(spec)["position_bias"] == HEADS * (2 * POSITIONS - 1)
    assert params_non_embedding(spec) == params_non_embedding(plain)
    assert train_flops_per_token(spec) == train_flops_per_token(plain)


@pytest.mark.parametrize("arch", ["bert", "roberta", "gpt"])
def test_published_architectures_are_kept_as_they_are(arch: str) -> None:
    with pytest.raises(SpecError, match="kept as published"):
        build_model(make_spec(arch=arch, position_bias="relative"))
