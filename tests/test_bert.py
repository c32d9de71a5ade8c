"""BERT equals the reference implementation."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from scaling.tokenizer import PAD_ID
from tests.parity import SHAPES, largest_gradient_difference, pair_of_models, random_ids

pytest.importorskip("transformers")


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("padded", [False, True])
def test_both_heads_and_all_gradients_equal_the_reference(shape: str, padded: bool) -> None:
    spec, ours, theirs = pair_of_models("bert", shape)
    ids_BT = random_ids(spec, rows=3, n_positions=11)
    segments_BT = (torch.arange(11) >= torch.tensor([[4], [5], [8]])).long()
    valid_BT = torch.ones_like(ids_BT, dtype=torch.bool)
    if padded:
        valid_BT = torch.arange(11) < torch.tensor([[11], [7], [9]])
        ids_BT = ids_BT.where(valid_BT, PAD_ID)

    hidden_BTE = ours(ids_BT, segments_BT, valid_BT if padded else None)
    logits_MV, pairs_B2 = ours.logits(hidden_BTE)[valid_BT], ours.pair_logits(hidden_BTE)
    output = theirs(input_ids=ids_BT, token_type_ids=segments_BT, attention_mask=valid_BT.long())
    torch.testing.assert_close(logits_MV, output.prediction_logits[valid_BT], atol=1e-5, rtol=0)
    torch.testing.assert_close(pairs_B2, output.seq_relationship_logits, atol=1e-5, rtol=0)

    targets_M, is_random_B = ids_BT[valid_BT], torch.tensor([0, 1, 1])
    for tokens_MV, next_B2 in (
        (logits_MV, pairs_B2),
        (output.prediction_logits[valid_BT], output.seq_relationship_logits),
    ):
        (F.cross_entropy(tokens_MV, targets_M) + F.cross_entropy(next_B2, is_random_B)).backward()
    assert largest_gradient_difference("bert", ours, theirs) < 1e-4


def test_no_segments_means_all_in_the_first() -> None:
    spec, ours, _ = pair_of_models("bert", "even")
    ids_BT = random_ids(spec, rows=2, n_positions=9)
    zeros_BT = torch.zeros_like(ids_BT)
    torch.testing.assert_close(ours(ids_BT), ours(ids_BT, zeros_BT), atol=0, rtol=0)
