"""Counts, directions and initialisation of every architecture."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from scaling.models import DEFAULT_OBJECTIVE, MODELS, LanguageModel, build_model, build_shapes
from scaling.objectives import OBJECTIVES
from scaling.sizes import SIZES
from scaling.spec import SpecError
from tests.factories import make_spec
from tests.parity import random_ids

PAIR = ("encoder", "decoder")
AS_PUBLISHED = ("bert", "roberta", "gpt")
LATER, EARLIER = 20, 10


def reach(model: LanguageModel, *, n_positions: int = 32) -> float:
    """How much the embedding at `LATER` moves the logits at `EARLIER`."""
    ids_BT = torch.arange(4, 4 + n_positions)[None]
    embedded: list[torch.Tensor] = []
    hook = model.token_embedding.register_forward_hook(lambda *args: embedded.append(args[2]))
    logits_V = model.logits(model(ids_BT))[0, EARLIER]
    hook.remove()
    # A fixed random direction: the plain sum is what a norm takes out.
    direction_V = torch.randn(logits_V.shape, generator=torch.Generator().manual_seed(0))
    (gradient_BTE,) = torch.autograd.grad(logits_V @ direction_V, embedded)
    assert gradient_BTE[0, EARLIER].abs().max() > 1e-6, "a position sees itself"
    return float(gradient_BTE[0, LATER].abs().max())


@pytest.mark.parametrize("explicit_below", [0, 10**6], ids=["fused", "explicit"])
@pytest.mark.parametrize(
    ("arch", "attention", "is_causal"),
    [
        *((arch, "default", arch in ("gpt", "decoder")) for arch in MODELS),
        *((arch, direction, direction == "causal")
          for arch in PAIR for direction in ("causal", "bidirectional")),
    ],
)  # fmt: skip
def test_a_later_position_reaches_earlier_logits_iff_bidirectional(
    arch: str, attention: Any, is_causal: bool, explicit_below: int, monkeypatch: Any
) -> None:
    monkeypatch.setattr(
        "scaling.models.attention.EXPLICIT_BELOW_POSITIONS", {torch.float32: explicit_below}
    )
    model = build_model(make_spec(arch=arch, attention=attention, n_layer=2))
    assert model.is_causal == is_causal
    assert (reach(model) == 0.0) == is_causal


@pytest.mark.parametrize("arch", MODELS)
@pytest.mark.parametrize("padded", [False, True])
def test_bfloat16_keeps_the_direction(arch: str, padded: bool) -> None:
    model = build_model(make_spec(arch=arch, n_layer=2))
    ids_BT = torch.arange(4, 36)[None]
    changed_BT = ids_BT.clone()
    changed_BT[0, LATER] = 100
    valid_BT = torch.arange(32)[None] < 30 if padded else None
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        one_BTE, other_BTE = (model(ids, valid_BT=valid_BT) for ids in (ids_BT, changed_BT))
    assert torch.equal(one_BTE[:, :LATER], other_BTE[:, :LATER]) == model.is_causal


@pytest.mark.parametrize("arch", AS_PUBLISHED)
def test_published_architectures_keep_their_direction(arch: str) -> None:
    with pytest.raises(SpecError, match="choose arch encoder or decoder"):
        build_shapes(make_spec(arch=arch, attention="causal"))


@pytest.mark.parametrize("size", SIZES)
def test_the_matched_pair_has_equal_shapes_on_the_whole_ladder(size: str) -> None:
    rung = SIZES[size]
    shape = {"n_layer": rung.n_layer, "d_model": rung.d_model, "n_head": rung.n_head}
    encoder, decoder = (
        build_shapes(make_spec(arch=arch, d_ff=rung.d_ff, **shape)).state_dict() for arch in PAIR
    )
    assert {n: w.shape for n, w in encoder.items()} == {n: w.shape for n, w in decoder.items()}
    n_matrix = sum(w.numel() for n, w in encoder.items() if n.startswith("blocks") and w.ndim == 2)
    assert n_matrix == rung.block_params


def test_the_matched_pair_starts_from_the_same_weights() -> None:
    encoder, decoder = (build_model(make_spec(arch=arch, seed=3)).state_dict() for arch in PAIR)
    assert all(torch.equal(encoder[name], decoder[name]) for name in encoder)
    other_seed = build_model(make_spec(arch="decoder", seed=4)).state_dict()
    assert not torch.equal(decoder["token_embedding.weight"], other_seed["token_embedding.weight"])


@pytest.mark.parametrize("arch", MODELS)
def test_weights_start_at_their_scale(arch: str) -> None:
    spec = make_spec(arch=arch, n_layer=8, d_model=64, d_ff=256)
    before = torch.get_rng_state()
    model = build_model(spec)
    assert torch.equal(before, torch.get_rng_state()), "the global generator is left alone"
    # The matched pair follows the width, sqrt(2 / (5 x 64)); the others are as published.
    std_of_all = (2 / (5 * 64)) ** 0.5 if arch not in AS_PUBLISHED else 0.02
    # 1 / sqrt(2 x 8 layers) where residual projections start smaller.
    residual_std = std_of_all if arch in ("bert", "roberta") else std_of_all / 4
    for name, weight in model.state_dict().items():
        if name.endswith("norm.weight"):
            assert torch.equal(weight, torch.ones_like(weight)), name
        elif weight.ndim == 1:
            assert torch.equal(weight, torch.zeros_like(weight)), name
        else:
            is_residual = name.endswith(("attention.out.weight", "feed_forward.down.weight"))
            std = residual_std if is_residual else std_of_all
            # Six standard errors of a standard deviation, and of a mean.
            error = 6 * std / weight.numel() ** 0.5
            assert abs(weight.std() - std) < error, name
            assert abs(weight.mean()) < error, name


@pytest.mark.parametrize("arch", MODELS)
def test_a_new_model_predicts_tokens_almost_alike(arch: str) -> None:
    spec = make_spec(arch=arch)
    model = build_model(spec)
    ids_BT, targets_BT = (random_ids(spec, rows=8, n_positions=32, seed=seed) for seed in (0, 1))
    loss = F.cross_entropy(model.logits(model(ids_BT)).flatten(0, 1), targets_BT.flatten())
    # Normed states of norm sqrt(E) give logits of variance E x std^2; half of it is added.
    excess = 0.5 * spec.d_model * model.initial_std**2
    assert loss.item() == pytest.approx(math.log(spec.vocab_size) + excess, abs=0.05)


@pytest.mark.parametrize("arch", MODELS)
def test_padding_changes_nothing_but_the_padded_positions(arch: str) -> None:
    spec = make_spec(arch=arch, n_layer=2)
    model = build_model(spec).eval()
    ids_BT = random_ids(spec, rows=2, n_positions=24)
    valid_BT = torch.arange(24) < torch.tensor([[24], [15]])
    padded = model(ids_BT, valid_BT=valid_BT)
    torch.testing.assert_close(padded[0], model(ids_BT[:1])[0], atol=2e-6, rtol=0)
    torch.testing.assert_close(padded[1, :15], model(ids_BT[1:, :15])[0], atol=2e-6, rtol=0)


@pytest.mark.parametrize("arch", MODELS)
def test_bfloat16_autocast_gives_nearly_the_same_loss_and_gradients(arch: str) -> None:
    spec = make_spec(arch=arch, n_layer=2)
    ids_BT = random_ids(spec, rows=4, n_positions=32)
    valid_BT = torch.arange(32) < torch.tensor([[32], [20], [9], [32]])
    losses, gradients = [], []
    for enabled in (False, True):
        model = build_model(spec)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            logits_BTV = model.logits(model(ids_BT, valid_BT=valid_BT))
        assert logits_BTV.dtype == (torch.bfloat16 if enabled else torch.float32)
        loss = F.cross_entropy(logits_BTV.float().flatten(0, 1), ids_BT.flatten())
        loss.backward()
        losses.append(loss.item())
        gradients.append(
            torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
        )
    assert losses[1] == pytest.approx(losses[0], rel=2e-3)
    assert F.cosine_similarity(*gradients, dim=0) > 0.999


@pytest.mark.parametrize("arch", ["bert", "decoder"])
@pytest.mark.parametrize("enabled", [False, True], ids=["float32", "bf16"])
def test_the_model_compiles_into_one_graph(arch: str, enabled: bool) -> None:
    spec = make_spec(arch=arch)
    model = build_model(spec)
    ids_BT = random_ids(spec, rows=2, n_positions=32)
    with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
        expected_BTE = model(ids_BT)
        compiled = torch.compile(model, backend="eager", fullgraph=True)
        torch.testing.assert_close(compiled(ids_BT), expected_BTE, atol=0, rtol=0)
    torch.compiler.reset()


def test_inputs_that_the_model_has_no_place_for_are_refused() -> None:
    model = build_model(make_spec(arch="decoder"))
    with pytest.raises(ValueError, match="33 positions exceeds seq_len=32"):
        model(torch.zeros(1, 33, dtype=torch.long))
    ids_BT = torch.zeros(1, 8, dtype=torch.long)
    with pytest.raises(ValueError, match="without segments"):
        model(ids_BT, ids_BT)
    with pytest.raises(SpecError, match="needs a pair head"):
        model.pair_logits(model(ids_BT))


def test_an_unknown_architecture_names_the_known_ones() -> None:
    with pytest.raises(
        SpecError, match="known: bert, roberta, gpt, encoder, encoder-pairs, decoder"
    ):
        build_model(make_spec(arch="t5"))


def test_every_architecture_has_an_objective_by_default() -> None:
    assert DEFAULT_OBJECTIVE.keys() == MODELS.keys()
    assert set(DEFAULT_OBJECTIVE.values()) <= OBJECTIVES.keys()
