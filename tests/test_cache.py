"""The key-value cache: the same logits for fewer positions."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from scaling.models import LanguageModel, build_model
from tests.factories import make_spec
from tests.parity import random_ids

CAUSAL = ("decoder", "gpt")


def positions_through_blocks(model: LanguageModel) -> list[int]:
    """Grows by the positions of each pass through the first block."""
    seen: list[int] = []

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen.append(inputs[0].shape[0] * inputs[0].shape[1])

    model.blocks[0].register_forward_hook(count)
    return seen


@pytest.mark.parametrize("arch", CAUSAL)
@pytest.mark.parametrize("pieces", [[24], [1] * 24, [7, 1, 1, 10, 5]])
@torch.no_grad()
def test_cached_logits_equal_those_of_a_full_pass(arch: str, pieces: list[int]) -> None:
    spec = make_spec(arch=arch, n_layer=3)
    model = build_model(spec).eval()
    ids_BT = random_ids(spec, rows=3, n_positions=24)
    cache = model.new_cache()
    parts = [model.extend(ids, cache) for ids in ids_BT.split(pieces, dim=1)]
    assert cache.n_positions == 24
    full_BTV, cached_BTV = model.logits(model(ids_BT)), model.logits(torch.cat(parts, dim=1))
    assert full_BTV.abs().max() > 0.1
    assert (full_BTV - cached_BTV).abs().max() < 1e-5


@torch.no_grad()
def test_a_prefix_is_seen_in_both_directions() -> None:
    spec = make_spec(n_layer=2)
    model = build_model(spec).eval()
    ids_BT = random_ids(spec, rows=2, n_positions=20)
    cache = model.new_cache()
    parts = [model.extend(ids_BT[:, :9], cache, is_prefix=True), model.extend(ids_BT[:, 9:], cache)]
    full_BTE = model(ids_BT, prefix_B=torch.tensor([9, 9]))
    assert (full_BTE - torch.cat(parts, dim=1)).abs().max() < 1e-5
    assert (full_BTE - model(ids_BT)).abs().max() > 1e-3


@torch.no_grad()
def test_repeated_rows_go_on_apart() -> None:
    spec = make_spec(n_layer=2)
    model = build_model(spec).eval()
    ids_BT = random_ids(spec, rows=2, n_positions=10)
    cache = model.new_cache()
    model.extend(ids_BT[:, :6], cache)
    more_GT = random_ids(spec, rows=6, n_positions=4)
    found_GTE = model.extend(more_GT, cache.repeated(3))
    whole_GT = torch.cat([ids_BT[:, :6].repeat_interleave(3, dim=0), more_GT], dim=1)
    assert (model(whole_GT)[:, 6:] - found_GTE).abs().max() < 1e-5
    assert cache.n_positions == 6


@torch.no_grad()
def test_writing_512_tokens_takes_a_fifth_of_the_positions_at_most() -> None:
    spec = make_spec(seq_len=512, d_model=8, n_head=1, d_ff=8, batch_tokens=512)
    model = build_model(spec).eval()
    ids_BT = random_ids(spec, rows=1, n_positions=512)
    seen = positions_through_blocks(model)
    cache = model.new_cache()
    for ids in ids_BT.split(1, dim=1):
        model.extend(ids, cache)
    with_cache = sum(seen)
    seen.clear()
    for n in range(1, 513):
        model(ids_BT[:, :n])
    assert with_cache == 512
    assert sum(seen) >= 5 * with_cache


def test_bidirectional_models_have_no_cache() -> None:
    with pytest.raises(ValueError, match="each new token changes every position"):
        build_model(make_spec(arch="encoder")).new_cache()


@torch.no_grad()
def test_a_cache_ends_where_the_model_does() -> None:
    spec = make_spec()
    model, ids_BT = build_model(spec), random_ids(spec, rows=1, n_positions=32)
    cache = model.new_cache()
    model.extend(ids_BT, cache)
    with pytest.raises(ValueError, match="33 positions exceeds seq_len=32"):
        model.extend(ids_BT[:, :1], cache)


def test_bfloat16_is_close(monkeypatch: Any) -> None:
    spec = make_spec(n_layer=2)
    model, ids_BT = build_model(spec), random_ids(spec, rows=2, n_positions=16)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        cache = model.new_cache()
        parts = [model.extend(ids, cache) for ids in ids_BT.split([4, 12], dim=1)]
        full_BTE = model(ids_BT)
    assert (full_BTE - torch.cat(parts, dim=1)).abs().max() < 0.1
