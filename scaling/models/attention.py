"""Exact self-attention, two ways: batched matrix products, or PyTorch's fused kernel.

Both compute softmax(Q K^T / sqrt(K)) V (Vaswani et al. 2017, arXiv:1706.03762, section 3.2.1)
and differ in speed only; `uses_fused_kernel` chooses.
"""

# Tensor axes: B batch, T sequence, E width, H heads, K head width, G = B x H groups.
# Scores are [B, H, query T, key T]; QKV_BTX holds queries, keys and values side by side (X = 3 E).

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from scaling.models.cache import LayerCache

# Finite, so that a query without any allowed key gets a uniform average and never NaN; small
# enough that exp() of it is exactly 0, and inside the range of bfloat16.
MASKED_SCORE = -1e30

# On a CPU the fused kernel is slow in bfloat16 over few positions: a quarter of the products'
# speed at 128, half at 256, level at 768 (one thread, forward and backward, heads of 16 to 64
# channels). In float32 it is the faster one from 32 positions on, and level below.
EXPLICIT_BELOW_POSITIONS = {torch.bfloat16: 768}


def uses_fused_kernel(device_type: str, dtype: torch.dtype, n_positions: int) -> bool:
    """Whether attention over that many positions goes through the fused kernel."""
    return device_type != "cpu" or n_positions >= EXPLICIT_BELOW_POSITIONS.get(dtype, 0)


def score_bias(
    ids_BT: Tensor,
    valid_BT: Tensor | None,
    prefix_B: Tensor | None = None,
    *,
    position_HTT: Tensor | None = None,
    is_causal: bool,
    dtype: torch.dtype,
) -> Tensor | None:
    """What is added to the scores: 0 where a key may be seen, `MASKED_SCORE` elsewhere.

    Args:
        valid_BT: False where a key is padding.
        prefix_B: keys of each row that every position sees, later ones too.
        position_HTT: what the distance of query and key adds, for each head.
    Returns:
        [1 or B, 1 or H, 1 or T, T], or None where every key may be seen. The fused kernel applies
        a plain causal mask itself, so there it is None as well.
    """
    T = ids_BT.shape[1]
    kernel_masks = not is_causal or uses_fused_kernel(ids_BT.device.type, dtype, T)
    if valid_BT is None and prefix_B is None and position_HTT is None and kernel_masks:
        return None
    bias_BHTT = torch.zeros((1, 1, 1, T), dtype=dtype, device=ids_BT.device)
    if is_causal:
        bias_BHTT = torch.full_like(bias_BHTT, MASKED_SCORE).expand(1, 1, T, T).triu(1)
    if prefix_B is not None:
        in_prefix_BT = torch.arange(T, device=ids_BT.device) < prefix_B[:, None]
        bias_BHTT = bias_BHTT.masked_fill(in_prefix_BT[:, None, None], 0.0)
    if valid_BT is not None:
        bias_BHTT = bias_BHTT.masked_fill(~valid_BT[:, None, None], MASKED_SCORE)
    return bias_BHTT if position_HTT is None else bias_BHTT + position_HTT.to(dtype)


def attend(QKV_BTX: Tensor, bias_BHTT: Tensor | None, *, n_head: int, is_causal: bool) -> Tensor:
    """Mixes the values of the positions that each position may see.

    Args:
        QKV_BTX: [B, T, 3 E], as one projection gives them.
        bias_BHTT: as `score_bias` gives it for these shapes.

    Returns:
        [B, T, E], the heads side by side.
    """
    # The kernel of the CPU has no gradient for what is added to the scores.
    is_learned = bias_BHTT is not None and bias_BHTT.requires_grad and bias_BHTT.is_cpu
    if not is_learned and uses_fused_kernel(QKV_BTX.device.type, QKV_BTX.dtype, QKV_BTX.shape[1]):
        return _attend_fused(QKV_BTX, bias_BHTT, n_head=n_head, is_causal=is_causal)
    assert bias_BHTT is not None or not is_causal, "the products have no causal mask of their own"
    return _attend_explicit(QKV_BTX, bias_BHTT, n_head=n_head)


def _attend_explicit(QKV_BTX: Tensor, bias_BHTT: Tensor | None, *, n_head: int) -> Tensor:
    B, T, X = QKV_BTX.shape
    K = X // (3 * n_head)
    # One copy puts all three into the layout that the batched product needs.
    QKV_3GTK = QKV_BTX.view(B, T, 3, n_head, K).permute(2, 0, 3, 1, 4).reshape(3, B * n_head, T, K)
    q_GTK, k_GTK, v_GTK = QKV_3GTK.unbind(0)
    scores_GTT = torch.bmm(q_GTK * K**-0.5, k_GTK.transpose(1, 2))
    if bias_BHTT is not None:
        # In place: the product's backward needs its inputs only, and a block of this size
        # costs more to allocate than to fill.
        scores_GTT.view(B, n_head, T, T).add_(bias_BHTT)
    mixed_GTK = torch.bmm(torch.softmax(scores_GTT, dim=-1), v_GTK)
    return mixed_GTK.view(B, n_head, T, K).transpose(1, 2).reshape(B, T, n_head * K)


def _attend_fused(
    QKV_BTX: Tensor, bias_BHTT: Tensor | None, *, n_head: int, is_causal: bool
) -> Tensor:
    B, T, X = QKV_BTX.shape
    # Splitting the last axis first lets the backward join the three gradients in one copy.
    q_BHTK, k_BHTK, v_BHTK = (
        part_BTE.view(B, T, n_head, -1).transpose(1, 2) for part_BTE in QKV_BTX.chunk(3, -1)
    )
    mixed_BHTK = F.scaled_dot_product_attention(
        q_BHTK,
        k_BHTK,
        v_BHTK,
        attn_mask=bias_BHTT,
        is_causal=is_causal and bias_BHTT is None,
    )
    return mixed_BHTK.transpose(1, 2).reshape(B, T, X // 3)


def attend_cached(
    QKV_BTX: Tensor, cache: LayerCache, bias_HTT: Tensor | None, *, n_head: int
) -> Tensor:
    """`attend` for positions that follow those in `cache`, which takes them in.

    Args:
        QKV_BTX: [B, T, 3 E] of the new positions alone.
        bias_HTT: [1 or H, T, past + T], what is added to the scores; None where every key may be
            seen and distance adds nothing.

    Returns:
        [B, T, E] of the new positions.
    """
    B, T, X = QKV_BTX.shape
    q_BHTK, k_BHTK, v_BHTK = (
        part_BTE.view(B, T, n_head, -1).transpose(1, 2) for part_BTE in QKV_BTX.chunk(3, -1)
    )
    keys_BHTK, values_BHTK = cache.append(k_BHTK, v_BHTK)
    mixed_BHTK = F.scaled_dot_product_attention(q_BHTK, keys_BHTK, values_BHTK, attn_mask=bias_HTT)
    return mixed_BHTK.transpose(1, 2).reshape(B, T, X // 3)
