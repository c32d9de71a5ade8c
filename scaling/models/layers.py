"""One transformer block for both families, and the head around the tied projection.

BERT (Devlin et al. 2018, arXiv:1810.04805) and GPT-2 (Radford et al. 2019) are the same block
with its norms in another place and another attention mask. What tells them apart stands in
`Architecture`, a value that each architecture's own file gives.
"""

# Tensor axes, as suffixes: B batch, T sequence, E width, X = 3 E, F feed-forward, V vocabulary,
# G = batch x heads.

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scaling.models.attention import attend, attend_cached
from scaling.models.cache import LayerCache
from scaling.spec import PositionBias, RunSpec, SpecError


@dataclass(frozen=True, kw_only=True, slots=True)
class Architecture:
    """What an architecture decides and a size does not.

    Attributes:
        norms: `before` each sublayer with one more at the end (pre-LN), or `after` each residual
            sum with one on the embeddings (post-LN).
        is_causal: direction of the attention unless the spec overrides it.
        allows_override: whether the spec may choose the direction and add a position bias.
        gelu: `none` is the exact GELU, `tanh` its approximation.
        n_segments: kinds of segment that have an embedding; 0 for no such embedding.
        head_transform: whether linear, GELU and norm come before the tied projection, and a
            bias after it.
        initial_std: of all matrices and embeddings; None for sqrt(2 / (5 d_model)) ("small init",
            Nguyen & Salazar 2019, arXiv:1910.05895, section 2.2), which is 0.02 at the published
            widths and keeps attention from starting blind at small ones.
        scales_residuals: whether the projections back into the residual stream start smaller
            by 1 / sqrt(2 n_layer).
    """

    norms: Literal["before", "after"]
    is_causal: bool
    allows_override: bool = False
    gelu: Literal["none", "tanh"]
    norm_eps: float
    n_segments: int = 0
    head_transform: bool = False
    initial_std: float | None = 0.02
    scales_residuals: bool = False

    def resolve_is_causal(self, spec: RunSpec) -> bool:
        """The direction that this spec asks for.

        Raises:
            SpecError: the spec overrides an architecture that is kept as published.
        """
        if spec.attention == "default":
            return self.is_causal
        if not self.allows_override:
            raise SpecError(
                f"attention={spec.attention!r} cannot change arch={spec.arch!r}, which is kept as "
                "published; choose arch encoder or decoder, or attention default"
            )
        return spec.attention == "causal"

    def resolve_position_bias(self, spec: RunSpec) -> PositionBias:
        """What this spec adds to the scores.

        Raises:
            SpecError: the spec overrides an architecture that is kept as published.
        """
        if spec.position_bias != "none" and not self.allows_override:
            raise SpecError(
                f"position_bias={spec.position_bias!r} cannot change arch={spec.arch!r}, which is "
                "kept as published; choose arch encoder, encoder-pairs or decoder, or "
                "position_bias none"
            )
        return spec.position_bias


class Attention(nn.Module):
    """Multi-head self-attention with one projection for queries, keys and values."""

    def __init__(self, spec: RunSpec, *, is_causal: bool) -> None:
        super().__init__()
        self.n_head, self.is_causal = spec.n_head, is_causal
        self.qkv = nn.Linear(spec.d_model, 3 * spec.d_model)
        self.out = nn.Linear(spec.d_model, spec.d_model)

    def forward(
        self, x_BTE: Tensor, bias_BHTT: Tensor | None, cache: LayerCache | None = None
    ) -> Tensor:
        QKV_BTX = self.qkv(x_BTE)
        if cache is None:
            mixed_BTE = attend(QKV_BTX, bias_BHTT, n_head=self.n_head, is_causal=self.is_causal)
        else:
            mixed_BTE = attend_cached(QKV_BTX, cache, bias_BHTT, n_head=self.n_head)
        projected_BTE: Tensor = self.out(mixed_BTE)
        return projected_BTE


class FeedForward(nn.Module):
    """Two linear layers with a GELU between them."""

    def __init__(self, spec: RunSpec, architecture: Architecture) -> None:
        super().__init__()
        self.gelu = architecture.gelu
        self.up = nn.Linear(spec.d_model, spec.d_ff)
        self.down = nn.Linear(spec.d_ff, spec.d_model)

    def forward(self, x_BTE: Tensor) -> Tensor:
        x_BTF = F.gelu(self.up(x_BTE), approximate=self.gelu)
        projected_BTE: Tensor = self.down(x_BTF)
        return projected_BTE


class Block(nn.Module):
    """Attention and feed-forward, each with a residual sum and a norm.

    There is no dropout: a scaling study reads its text once or a few times, so that there is
    little overfitting to prevent, and dropout would slow each size by a different amount.
    """

    def __init__(self, spec: RunSpec, architecture: Architecture, *, is_causal: bool) -> None:
        super().__init__()
        self.norms_before = architecture.norms == "before"
        self.attention_norm = nn.LayerNorm(spec.d_model, eps=architecture.norm_eps)
        self.attention = Attention(spec, is_causal=is_causal)
        self.feed_forward_norm = nn.LayerNorm(spec.d_model, eps=architecture.norm_eps)
        self.feed_forward = FeedForward(spec, architecture)

    def forward(
        self, x_BTE: Tensor, bias_BHTT: Tensor | None, cache: LayerCache | None = None
    ) -> Tensor:
        if self.norms_before:
            x_BTE = x_BTE + self.attention(self.attention_norm(x_BTE), bias_BHTT, cache)
            x_BTE = x_BTE + self.feed_forward(self.feed_forward_norm(x_BTE))
        else:
            x_BTE = self.attention_norm(x_BTE + self.attention(x_BTE, bias_BHTT, cache))
            x_BTE = self.feed_forward_norm(x_BTE + self.feed_forward(x_BTE))
        return x_BTE


class Head(nn.Module):
    """What BERT's released code puts around the tied projection: a transform, and a bias."""

    def __init__(self, spec: RunSpec, architecture: Architecture) -> None:
        super().__init__()
        self.gelu = architecture.gelu
        self.transform = nn.Linear(spec.d_model, spec.d_model)
        self.norm = nn.LayerNorm(spec.d_model, eps=architecture.norm_eps)
        self.bias = nn.Parameter(torch.empty(spec.vocab_size))

    def forward(self, hidden_BTE: Tensor, embedding_VE: Tensor) -> Tensor:
        transformed_BTE = self.norm(F.gelu(self.transform(hidden_BTE), approximate=self.gelu))
        return F.linear(transformed_BTE, embedding_VE, self.bias)
