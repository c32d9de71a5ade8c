"""A language model: embeddings, blocks, and a head tied to the token embedding."""

# Tensor axes, as suffixes: B batch, T sequence, E width, V vocabulary, H heads.

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scaling.compiling import Regions, run_block
from scaling.models.attention import score_bias
from scaling.models.cache import KeyValueCache, extension_bias
from scaling.models.layers import Architecture, Block, Head
from scaling.models.position_bias import RelativePositionBias
from scaling.spec import RunSpec, SpecError

RESIDUAL_PROJECTIONS = ("attention.out.weight", "feed_forward.down.weight")


class LanguageModel(nn.Module):
    """A transformer that gives hidden states, and token logits where they are asked for.

    While `regions` is set, training steps run its compiled code; all else runs as it is.

    The first part of a parameter's name is its group in `scaling.accounting.count_params`.
    """

    def __init__(self, spec: RunSpec, architecture: Architecture) -> None:
        super().__init__()
        self.regions: Regions | None = None
        self.is_causal = architecture.resolve_is_causal(spec)
        self.token_embedding = _embedding(spec.vocab_size, spec.d_model)
        self.position_embedding = _embedding(spec.seq_len, spec.d_model)
        self.position_bias = None
        if architecture.resolve_position_bias(spec) == "relative":
            self.position_bias = RelativePositionBias(spec.n_head, spec.seq_len)
        self.segment_embedding: nn.Embedding | None = None
        if architecture.n_segments:
            self.segment_embedding = _embedding(architecture.n_segments, spec.d_model)
        outer_norm = nn.LayerNorm(spec.d_model, eps=architecture.norm_eps)
        before = architecture.norms == "before"
        self.embedding_norm = None if before else outer_norm
        self.blocks = nn.ModuleList(
            Block(spec, architecture, is_causal=self.is_causal) for _ in range(spec.n_layer)
        )
        self.final_norm = outer_norm if before else None
        self.head = Head(spec, architecture) if architecture.head_transform else None
        self.initial_std = architecture.initial_std or (2 / (5 * spec.d_model)) ** 0.5
        self.residual_std = self.initial_std
        if architecture.scales_residuals:
            self.residual_std /= (2 * spec.n_layer) ** 0.5

    def forward(
        self,
        input_ids_BT: Tensor,
        segment_ids_BT: Tensor | None = None,
        valid_BT: Tensor | None = None,
        prefix_B: Tensor | None = None,
    ) -> Tensor:
        """Hidden states [B, T, E] of the last layer, after the final norm where there is one.

        Args:
            input_ids_BT: token ids, at most `seq_len` per sequence.
            segment_ids_BT: 0 for the first segment, 1 for the second; None for all 0.
            valid_BT: False where a position is padding; None for none, which is faster.
            prefix_B: of a causal model, positions of each row that see each other.

        Raises:
            ValueError: the sequence is too long, or the model has no segments.
        """
        x_BTE = self._embed(input_ids_BT, segment_ids_BT)
        n_positions = input_ids_BT.shape[1]
        bias_BHTT = score_bias(
            input_ids_BT,
            valid_BT,
            prefix_B,
            position_HTT=self._distances(0, n_positions, n_positions),
            is_causal=self.is_causal,
            dtype=_compute_dtype(x_BTE),
        )
        run = self.regions.block if self.regions and self.training else run_block
        for block in self.blocks:
            x_BTE = run(block, x_BTE, bias_BHTT)
        if self.final_norm is not None:
            x_BTE = self.final_norm(x_BTE)
        return x_BTE

    def new_cache(self) -> KeyValueCache:
        """An empty cache, for `extend`.

        Raises:
            ValueError: attention looks ahead, so that no position can be kept.
        """
        if not self.is_causal:
            raise ValueError(
                "a bidirectional model has no cache: each new token changes every position; "
                "read the whole sequence, or take a causal model"
            )
        return KeyValueCache(len(self.blocks), self.position_embedding.num_embeddings)

    def extend(
        self, input_ids_BT: Tensor, cache: KeyValueCache, *, is_prefix: bool = False
    ) -> Tensor:
        """Hidden states [B, T, E] of positions that follow those in `cache`, which grows.

        The same as the last T positions of a pass over everything, for T positions' work.

        Args:
            is_prefix: the new positions see each other, as those of `prefix_B` do.
        Raises:
            ValueError: past and new positions together are too many.
        """
        n_past, n_new = cache.n_positions, input_ids_BT.shape[1]
        x_BTE = self._embed(input_ids_BT, None, n_past)
        bias_HTT = extension_bias(
            n_past,
            n_new,
            position_HTT=self._distances(n_past, n_new, n_past + n_new),
            is_prefix=is_prefix,
            like=x_BTE.new_empty(0, dtype=_compute_dtype(x_BTE)),
        )
        for block, layer in zip(self.blocks, cache.layers, strict=True):
            x_BTE = block(x_BTE, bias_HTT, layer)
        if self.final_norm is not None:
            x_BTE = self.final_norm(x_BTE)
        return x_BTE

    def logits(self, hidden_BTE: Tensor) -> Tensor:
        """Token logits [..., V] of hidden states [..., E], before any softmax."""
        embedding_VE = self.token_embedding.weight
        if self.head is None:
            return F.linear(hidden_BTE, embedding_VE)
        logits_BTV: Tensor = self.head(hidden_BTE, embedding_VE)
        return logits_BTV

    def pair_logits(self, hidden_BTE: Tensor) -> Tensor:
        """Logits [B, 2] of next-sentence prediction, where the architecture has that head."""
        raise SpecError(
            "next-sentence prediction needs a pair head, which this architecture lacks; "
            "choose arch bert or encoder-pairs, or an objective without pairs"
        )

    def initialise(self, seed: int) -> None:
        """Draws the weights: normal, biases 0, norms 1; the same for equal shapes.

        Source: Devlin et al. 2018, released code; Radford et al. 2019, section 2.3; for the
        matched pair see `Architecture.initial_std`.
        """
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if parameter.ndim == 2:
                    residual = name.endswith(RESIDUAL_PROJECTIONS)
                    std = self.residual_std if residual else self.initial_std
                    parameter.normal_(0.0, std, generator=generator)
                else:
                    parameter.fill_(1.0 if name.endswith("norm.weight") else 0.0)

    def _distances(self, first_query: int, n_queries: int, n_keys: int) -> Tensor | None:
        if self.position_bias is None:
            return None
        bias_HTT: Tensor = self.position_bias(first_query, n_queries, n_keys)
        return bias_HTT

    def _embed(
        self, input_ids_BT: Tensor, segment_ids_BT: Tensor | None, first_position: int = 0
    ) -> Tensor:
        n_positions = first_position + input_ids_BT.shape[1]
        longest = self.position_embedding.num_embeddings
        if n_positions > longest:
            raise ValueError(
                f"a sequence of {n_positions} positions exceeds seq_len={longest}; cut it, or "
                "train with a longer seq_len"
            )
        position_TE = self.position_embedding.weight[first_position:n_positions]
        x_BTE: Tensor = self.token_embedding(input_ids_BT) + position_TE
        if self.segment_embedding is not None:
            if segment_ids_BT is None:
                x_BTE = x_BTE + self.segment_embedding.weight[0]
            else:
                x_BTE = x_BTE + self.segment_embedding(segment_ids_BT)
        elif segment_ids_BT is not None:
            raise ValueError(
                "segment ids given to a model without segments; pass None, or use bert"
            )
        if self.embedding_norm is not None:
            x_BTE = self.embedding_norm(x_BTE)
        return x_BTE


def _compute_dtype(x: Tensor) -> torch.dtype:
    """The type that matrix products give here: autocast's, or that of the weights."""
    dtype: torch.dtype = x.dtype
    if torch.is_autocast_enabled(x.device.type):
        dtype = torch.get_autocast_dtype(x.device.type)
    return dtype


def _embedding(rows: int, width: int) -> nn.Embedding:
    """An embedding that leaves its weights to `initialise`.

    Drawing them on the meta device would import torch's compiler, which takes over a second.
    """
    return nn.Embedding(rows, width, _weight=torch.empty(rows, width))
