"""GPT-2, and the matched pair in its format, equal the reference implementation."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from tests.parity import SHAPES, largest_gradient_difference, pair_of_models, random_ids

pytest.importorskip("transformers")


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("arch", ["gpt", "decoder", "encoder"])
def test_logits_and_all_gradients_equal_the_reference(arch: str, shape: str) -> None:
    spec, ours, theirs = pair_of_models(arch, shape)
    ids_BT = random_ids(spec, rows=3, n_positions=11)
    logits_BTV, theirs_BTV = ours.logits(ours(ids_BT)), theirs(input_ids=ids_BT).logits
    torch.testing.assert_close(logits_BTV, theirs_BTV, atol=1e-5, rtol=0)
    targets_M = random_ids(spec, rows=3, n_positions=11, seed=1).reshape(-1)
    for tokens_BTV in (logits_BTV, theirs_BTV):
        F.cross_entropy(tokens_BTV.flatten(0, 1), targets_M).backward()
    assert largest_gradient_difference(arch, ours, theirs) < 1e-4
