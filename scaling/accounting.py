"""What a run costs: parameters by group, exact training FLOPs, memory.

Counts come from the model itself, built without memory on the meta device. The conventions, and
what they move, stand in docs/decisions/counting.md.
"""

from __future__ import annotations

from collections import Counter

import torch

from scaling.models import build_shapes
from scaling.models.attention import uses_fused_kernel
from scaling.objectives import OBJECTIVES, Objective
from scaling.spec import RunSpec, SpecError

EMBEDDING_GROUPS = (
    "token_embedding", "position_embedding", "position_bias", "segment_embedding"
)  # fmt: skip

# The backward pass of a matrix product is two products of its size.
PASSES = 3

# Bytes per element and type of the matrix products.
_MATRIX_TYPES = {"float32": (4, torch.float32), "bf16": (2, torch.bfloat16)}


def count_params(spec: RunSpec) -> dict[str, int]:
    """Parameters by group of the model; a tied weight counts once, where it is embedded."""
    groups: Counter[str] = Counter()
    for name, parameter in build_shapes(spec).named_parameters():
        groups[name.partition(".")[0]] += parameter.numel()
    return dict(groups)


def params_total(spec: RunSpec) -> int:
    return sum(count_params(spec).values())


def params_non_embedding(spec: RunSpec) -> int:
    """All parameters but the embeddings of tokens, segments, positions and distances."""
    groups = count_params(spec)
    return sum(n for group, n in groups.items() if group not in EMBEDDING_GROUPS)


def train_flops_per_sequence(spec: RunSpec) -> int:
    """Matrix-product FLOPs of one sequence, forward and backward.

    Equal to what `torch.utils.flop_counter` counts over a step with explicit attention: two per
    multiply-add, all T x T scores in both directions of attention, the token head on the
    objective's positions alone, the pair head once.

    Raises:
        SpecError: the objective is unknown, needs a pair head that the architecture lacks, or
            predicts the next token with a model that sees it.
    """
    objective = _objective(spec)
    model = build_shapes(spec)
    if objective.predicts_next and not model.is_causal:
        raise SpecError(
            f"objective={spec.objective!r} predicts the next token, which arch={spec.arch!r} sees "
            "in both directions; choose attention causal with arch decoder, or objective mlm"
        )
    n_pairs = int(objective.pair_term is not None)
    if n_pairs and "pair_head" not in count_params(spec):
        raise SpecError(
            f"objective={spec.objective!r} needs a pair head, which arch={spec.arch!r} lacks; "
            "choose arch bert or encoder-pairs, or an objective without pairs"
        )
    if objective.uses_pairs and model.segment_embedding is None:
        raise SpecError(
            f"objective={spec.objective!r} tells two segments apart, for which arch={spec.arch!r} "
            "has no embedding; choose arch bert or encoder-pairs, or an objective without pairs"
        )
    return PASSES * forward_flops(
        spec,
        positions=spec.seq_len,
        score_pairs=spec.seq_len**2,
        head_positions=objective.head_positions(spec),
        n_pairs=n_pairs,
    )


def forward_flops(
    spec: RunSpec, *, positions: int, score_pairs: int, head_positions: int, n_pairs: int = 0
) -> int:
    """Matrix-product FLOPs of a forward pass, two per multiply-add; linear in each count.

    Args:
        positions: that go through the blocks.
        score_pairs: of a query and a key in one layer: T x T of a whole sequence, past + 1 of one
            position that follows a cache.
        head_positions: on which the token head is computed.
        n_pairs: on which the pair head is computed.
    """
    times = {
        "token_embedding": head_positions,  # as the tied projection: looking up takes no product
        "position_embedding": 0,
        "position_bias": 0,
        "segment_embedding": 0,
        "blocks": positions,
        "head": head_positions,
        "pooler": n_pairs,
        "pair_head": n_pairs,
    }
    flops = sum(
        2 * times[name.partition(".")[0]] * parameter.numel()
        for name, parameter in build_shapes(spec).named_parameters()
        if parameter.ndim == 2
    )
    # Scores and mixed values: two products over all heads.
    return flops + spec.n_layer * 2 * 2 * score_pairs * spec.d_model


def train_flops_per_token(spec: RunSpec) -> float:
    """`train_flops_per_sequence` over the positions of a sequence, all of them."""
    return train_flops_per_sequence(spec) / spec.seq_len


def train_flops_6nd(spec: RunSpec) -> float:
    """The rule of thumb 6 N D, N without embeddings (Kaplan et al. 2020, arXiv:2001.08361)."""
    return 6.0 * params_non_embedding(spec) * spec.train_tokens


def memory_bytes(spec: RunSpec) -> int:
    """Estimate of what one process on a CPU holds at the peak of a step on the whole batch.

    Weights, gradients and AdamW's two moments in float32; what each layer keeps for the backward
    pass; and the larger of the loss's and of one layer's temporary tensors. Within 20 % of what
    the allocator reports; the libraries themselves, about 0.5 GB, come on top.
    """
    n_bytes, dtype = _MATRIX_TYPES[spec.precision]
    # Autocast keeps a copy of the weights in the type of the products.
    state_bytes = params_total(spec) * (16 + n_bytes % 4)

    # Per position: the inputs of both norms stay float32; the inputs of the four projections,
    # queries, keys and values have the type of the products.
    layer_bytes = 4 * 2 * spec.d_model + n_bytes * (6 * spec.d_model + 2 * spec.d_ff)
    learns_bias = spec.position_bias != "none"
    if learns_bias or not uses_fused_kernel("cpu", dtype, spec.seq_len):
        layer_bytes += n_bytes * (spec.n_head * spec.seq_len + 4 * spec.d_model)
    kept_bytes = spec.batch_tokens * spec.n_layer * layer_bytes

    # Log-probabilities, the gradient of the loss in them, and the gradient in the logits.
    targets = _objective(spec).head_positions(spec) * spec.sequences_per_step
    loss_bytes = targets * spec.vocab_size * 3 * 4
    widest_bytes = spec.batch_tokens * (4 * spec.d_model + n_bytes * 2 * spec.d_ff)
    return state_bytes + kept_bytes + max(loss_bytes, widest_bytes)


def _objective(spec: RunSpec) -> Objective:
    if spec.objective not in OBJECTIVES:
        known = ", ".join(OBJECTIVES)
        raise SpecError(f"objective={spec.objective!r} is unknown; known: {known}")
    return OBJECTIVES[spec.objective]
