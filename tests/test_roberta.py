"""RoBERTa equals the reference implementation, whose positions start at 1 here."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from scaling.tokenizer import PAD_ID
from tests.parity import SHAPES, largest_gradient_difference, pair_of_models, random_ids

pytest.importorskip("transformers")


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("padded", [False, True])
def test_logits_and_all_gradients_equal_the_reference(shape: str, padded: bool) -> None:
    spec, ours, theirs = pair_of_models("roberta", shape)
    ids_BT = random_ids(spec, rows=3, n_positions=spec.seq_len)
    valid_BT = torch.ones_like(ids_BT, dtype=torch.bool)
    if padded:
        valid_BT = torch.arange(spec.seq_len) < torch.tensor([[spec.seq_len], [7], [9]])
        ids_BT = ids_BT.where(valid_BT, PAD_ID)

    logits_MV = ours.logits(ours(ids_BT, valid_BT=valid_BT if padded else None))[valid_BT]
    theirs_MV = theirs(input_ids=ids_BT, attention_mask=valid_BT.long()).logits[valid_BT]
    torch.testing.assert_close(logits_MV, theirs_MV, atol=1e-5, rtol=0)
    for tokens_MV in (logits_MV, theirs_MV):
        F.cross_entropy(tokens_MV, ids_BT[valid_BT]).backward()
    assert largest_gradient_difference("roberta", ours, theirs) < 1e-4
