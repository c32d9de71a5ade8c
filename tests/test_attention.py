"""Both ways through attention compute the same, and the textbook's formula."""

from __future__ import annotations

import pytest
import torch

from scaling.models import attention
from scaling.models.attention import attend, score_bias, uses_fused_kernel

B, T, H, K = 3, 10, 2, 5


def textbook(QKV_BTX: torch.Tensor, allowed_BTT: torch.Tensor) -> torch.Tensor:
    """softmax(Q K^T / sqrt(K)) V, one sequence, head and position at a time."""
    rows = []
    for QKV_TX, allowed_TT in zip(QKV_BTX, allowed_BTT, strict=True):
        for t in range(T):
            heads = []
            for h in range(H):
                q, k, v = (QKV_TX[:, (i * H + h) * K : (i * H + h + 1) * K] for i in range(3))
                weights = (k @ q[t] / K**0.5).exp() * allowed_TT[t]
                heads.append(weights @ v / weights.sum())
            rows.append(torch.cat(heads))
    return torch.stack(rows).view(B, T, H * K)


@pytest.mark.parametrize("explicit_below", [0, 10**6], ids=["fused", "explicit"])
@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("padded", [False, True])
def test_values_and_gradients_are_those_of_the_formula(
    is_causal: bool, padded: bool, explicit_below: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "EXPLICIT_BELOW_POSITIONS", {torch.float64: explicit_below})
    generator = torch.Generator().manual_seed(0)
    QKV_BTX = torch.randn(B, T, 3 * H * K, generator=generator, dtype=torch.float64)
    valid_BT = torch.arange(T) < torch.tensor([[T], [4], [7]])
    allowed_BTT = torch.ones(B, T, T)
    if is_causal:
        allowed_BTT = allowed_BTT.tril()
    if padded:
        allowed_BTT = allowed_BTT * valid_BT[:, None]
    bias = score_bias(
        torch.zeros(B, T, dtype=torch.long), valid_BT if padded else None,
        is_causal=is_causal, dtype=torch.float64,
    )  # fmt: skip

    QKV_BTX.requires_grad_()
    direction = torch.randn(B, T, H * K, generator=generator, dtype=torch.float64)
    ours = attend(QKV_BTX, bias, n_head=H, is_causal=is_causal)
    expected = textbook(QKV_BTX, allowed_BTT)
    torch.testing.assert_close(ours, expected)
    torch.testing.assert_close(
        *(torch.autograd.grad((x * direction).sum(), QKV_BTX)[0] for x in (ours, expected))
    )


@pytest.mark.parametrize("explicit_below", [0, 10**6], ids=["fused", "explicit"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_query_without_any_key_stays_finite(
    dtype: torch.dtype, explicit_below: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "EXPLICIT_BELOW_POSITIONS", {dtype: explicit_below})
    ids_BT = torch.zeros(B, T, dtype=torch.long)
    valid_BT = torch.arange(T) >= torch.tensor([[0], [T], [3]])
    bias = score_bias(ids_BT, valid_BT, is_causal=True, dtype=dtype)
    QKV_BTX = torch.ones(B, T, 3 * H * K, dtype=dtype, requires_grad=True)
    mixed_BTE = attend(QKV_BTX, bias, n_head=H, is_causal=True)
    mixed_BTE.sum().backward()
    assert QKV_BTX.grad is not None
    assert mixed_BTE.isfinite().all()
    assert QKV_BTX.grad.isfinite().all()


def test_no_mask_is_built_where_none_is_needed() -> None:
    ids_BT = torch.zeros(B, T, dtype=torch.long)
    for dtype in (torch.float32, torch.bfloat16):
        assert score_bias(ids_BT, None, is_causal=False, dtype=dtype) is None
    fused = score_bias(ids_BT, None, is_causal=True, dtype=torch.float32)
    assert fused is None, "the kernel has a causal mask of its own"


def test_the_explicit_way_is_for_short_bfloat16_on_a_cpu() -> None:
    assert not uses_fused_kernel("cpu", torch.bfloat16, 128)
    assert uses_fused_kernel("cpu", torch.bfloat16, 1024)
    assert uses_fused_kernel("cpu", torch.float32, 128)
    assert uses_fused_kernel("cuda", torch.bfloat16, 128)
