"""Counts equal published numbers and what torch counts over a real step."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from torch.profiler import profile
from torch.utils.flop_counter import FlopCounterMode

from scaling.accounting import (
    count_params,
    memory_bytes,
    params_non_embedding,
    params_total,
    train_flops_6nd,
    train_flops_per_sequence,
    train_flops_per_token,
)
from scaling.models import DEFAULT_OBJECTIVE, MODELS, LanguageModel, build_model
from scaling.objectives import OBJECTIVES, Batch
from scaling.objectives.objective import flat_index
from scaling.sizes import SIZES
from scaling.spec import RunSpec, SpecError
from tests.factories import make_spec
from tests.parity import random_ids

COUNTED_RUNGS = [name for name, size in SIZES.items() if size.block_params < 1.6e6]


def shape_of(size: str) -> dict[str, int]:
    rung = SIZES[size]
    return {
        "n_layer": rung.n_layer, "d_model": rung.d_model, "n_head": rung.n_head, "d_ff": rung.d_ff,
    }  # fmt: skip


def batch_for(spec: RunSpec) -> Batch:
    """One batch of the spec's shapes, with as many targets as its objective has."""
    rows, objective = spec.sequences_per_step, OBJECTIVES[spec.objective]
    ids_BT = random_ids(spec, rows=rows, n_positions=spec.seq_len)
    k = objective.head_positions(spec)
    positions_BK = torch.arange(k).expand(rows, k).numpy()
    pairs: dict[str, Any] = {}
    if objective.uses_pairs:
        segment_ids_BT = torch.zeros_like(ids_BT)
        is_next_B = torch.zeros(rows, dtype=torch.bool)
        pairs = {"segment_ids_BT": segment_ids_BT, "is_next_B": is_next_B, "pairs": rows}
    return Batch(
        input_ids_BT=ids_BT,
        target_index_M=flat_index(positions_BK, spec.seq_len),
        target_ids_M=ids_BT[:, :k].reshape(-1),
        targets=rows * k,
        **pairs,
    )


def backward(model: LanguageModel, spec: RunSpec, batch: Batch) -> None:
    enabled = spec.precision == "bf16"
    with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
        terms = OBJECTIVES[spec.objective].nll(model, batch)
    torch.stack([term.nats / max(term.targets, 1) for term in terms.values()]).sum().backward()


def measured_flops_per_sequence(spec: RunSpec, monkeypatch: pytest.MonkeyPatch) -> float:
    explicit = {torch.float32: 10**6, torch.bfloat16: 10**6}
    monkeypatch.setattr("scaling.models.attention.EXPLICIT_BELOW_POSITIONS", explicit)
    model, batch = build_model(spec), batch_for(spec)
    with FlopCounterMode(display=False) as counter:
        backward(model, spec, batch)
    return counter.get_total_flops() / spec.sequences_per_step


@pytest.mark.parametrize("arch", MODELS)
@pytest.mark.parametrize("size", COUNTED_RUNGS)
def test_flops_equal_those_counted_over_a_step_on_the_ladder(
    size: str, arch: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = make_spec(
        arch=arch, objective=DEFAULT_OBJECTIVE[arch], seq_len=64, batch_tokens=128,
        train_tokens=1280, warmup_tokens=0, cooldown_tokens=0, **shape_of(size),
    )  # fmt: skip
    assert train_flops_per_sequence(spec) == measured_flops_per_sequence(spec, monkeypatch)


@pytest.mark.parametrize("seed", range(25))
def test_flops_equal_those_counted_over_a_step_on_random_shapes(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(seed)
    arch = list(MODELS)[seed % len(MODELS)]
    on_pairs = {name for name in OBJECTIVES if OBJECTIVES[name].uses_pairs}
    allowed = {"mlm", *on_pairs} if arch in WITH_PAIRS else {"mlm"}
    allowed |= {"clm"} if DEFAULT_OBJECTIVE[arch] == "clm" else set()
    objective = rng.choice([name for name in OBJECTIVES if name in allowed])
    n_head, seq_len, rows = rng.randint(1, 5), rng.randint(8, 70), rng.randint(1, 3)
    spec = make_spec(
        arch=arch, objective=objective, n_layer=rng.randint(1, 4), n_head=n_head,
        d_model=n_head * rng.randint(2, 13), d_ff=rng.randint(3, 90),
        vocab_size=rng.randint(10, 400), seq_len=seq_len, batch_tokens=rows * seq_len,
        train_tokens=rows * seq_len, warmup_tokens=0, cooldown_tokens=0,
        target_share=rng.choice([0.15, 0.5, 1.0]), mask_rate=rng.choice([0.01, 0.15, 0.4, 1.0]),
        precision=rng.choice(["float32", "bf16"]),
    )  # fmt: skip
    assert train_flops_per_sequence(spec) == measured_flops_per_sequence(spec, monkeypatch)


def test_the_arms_on_pairs_cost_what_their_losses_cost() -> None:
    """MLM on pairs costs what it does on windows; the pair head and the token head add up."""
    flops = {
        name: train_flops_per_sequence(make_spec(arch="bert", objective=name))
        for name in ("mlm", "mlm-pairs", "mlm+nsp", "mlm+sop", "nsp")
    }
    assert flops["mlm-pairs"] == flops["mlm"]
    assert flops["mlm+sop"] == flops["mlm+nsp"]
    pair_head_flops = 3 * 2 * (32 * 32 + 32 * 2)
    assert flops["mlm+nsp"] - flops["mlm"] == pair_head_flops
    # 5 targets of 31 positions: the transform and the tied projection.
    assert flops["mlm+nsp"] - flops["nsp"] == 3 * 2 * 5 * (32 * 32 + 32 * 260)


@pytest.mark.parametrize("arch", ["encoder", "decoder"])
def test_both_directions_of_attention_cost_the_same(arch: str) -> None:
    flops = {
        train_flops_per_sequence(make_spec(arch=arch, objective="mlm", attention=direction))
        for direction in ("default", "causal", "bidirectional")
    }
    assert len(flops) == 1


WITH_PAIRS = ("bert", "encoder-pairs")
GPT2_SMALL = {**shape_of("85M"), "vocab_size": 50257, "seq_len": 1024}
BERT_BASE = {**shape_of("85M"), "vocab_size": 30522, "seq_len": 512}
HORIZONS = {"warmup_tokens": 0, "cooldown_tokens": 0, "batch_tokens": 1024, "train_tokens": 1024}


def test_gpt2_small_has_the_published_count() -> None:
    assert params_total(make_spec(arch="gpt", **GPT2_SMALL, **HORIZONS)) == 124_439_808


def test_bert_base_has_the_published_count_with_pooler_without_heads() -> None:
    groups = count_params(make_spec(arch="bert", **BERT_BASE, **HORIZONS))
    heads = groups["head"] + groups["pair_head"]
    assert sum(groups.values()) - heads == 109_482_240
    assert list(groups) == [
        "token_embedding", "position_embedding", "segment_embedding", "embedding_norm",
        "blocks", "head", "pooler", "pair_head",
    ]  # fmt: skip


def test_roberta_base_is_bert_base_without_segments_and_pairs() -> None:
    bert = count_params(make_spec(arch="bert", **BERT_BASE, **HORIZONS))
    roberta = count_params(make_spec(arch="roberta", **BERT_BASE, **HORIZONS))
    for group in ("segment_embedding", "pooler", "pair_head"):
        del bert[group]
    assert roberta == bert


@pytest.mark.parametrize("arch", MODELS)
def test_groups_sum_to_the_parameters_of_the_real_model(arch: str) -> None:
    spec = make_spec(arch=arch)
    groups = count_params(spec)
    assert sum(groups.values()) == params_total(spec)
    assert params_total(spec) == sum(p.numel() for p in build_model(spec).parameters())
    # 260 tokens and 32 positions of width 32, and two segments where there are any.
    embedding_params = (260 + 32 + 2 * (arch in WITH_PAIRS)) * 32
    assert params_total(spec) - params_non_embedding(spec) == embedding_params


def test_the_rule_of_thumb_and_the_count_per_token() -> None:
    spec = make_spec(arch="decoder")
    # 12 d^2 weights, 13 d biases and norms of the block, 2 d of the final norm.
    non_embedding = 12 * 32**2 + 13 * 32 + 2 * 32
    assert params_non_embedding(spec) == non_embedding
    assert train_flops_6nd(spec) == 6 * non_embedding * spec.train_tokens
    assert train_flops_per_token(spec) * spec.seq_len == train_flops_per_sequence(spec)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("vocab_size", [260, 2000])
@pytest.mark.parametrize("arch", ["bert", "decoder", "decoder with bias"])
def test_memory_is_within_a_fifth_of_what_the_allocator_hands_out(
    arch: str, vocab_size: int, precision: str
) -> None:
    arch, _, bias = arch.partition(" with ")
    spec = make_spec(
        position_bias="relative" if bias else "none",
        arch=arch, objective=DEFAULT_OBJECTIVE[arch], vocab_size=vocab_size, precision=precision,
        seq_len=96, batch_tokens=96 * 8, train_tokens=96 * 80, warmup_tokens=0, cooldown_tokens=0,
        **shape_of("147k"),
    )  # fmt: skip
    model, batch = build_model(spec), batch_for(spec)
    backward(model, spec, batch)  # the gradients stay, as from the second step on
    with profile(profile_memory=True) as profiler:
        backward(model, spec, batch)
    held = peak = 0
    events = profiler.profiler.kineto_results.events()
    for event in sorted(events, key=lambda event: event.start_ns()):
        if event.name() == "[memory]":
            held += event.nbytes()
            peak = max(peak, held)
    # Weights, gradients and two moments, which live outside of the profiled step.
    peak += 16 * params_total(spec)
    assert memory_bytes(spec) == pytest.approx(peak, rel=0.2)


def test_a_pair_objective_needs_a_pair_head() -> None:
    with pytest.raises(SpecError, match="arch='gpt' lacks"):
        train_flops_per_token(make_spec(arch="gpt", objective="mlm+nsp"))
    with pytest.raises(SpecError, match="for which arch='encoder' has no embedding"):
        train_flops_per_token(make_spec(arch="encoder", objective="mlm-pairs"))
    with pytest.raises(SpecError, match="known: clm, mlm, mlm-pairs"):
        train_flops_per_token(make_spec(objective="electra"))


@pytest.mark.parametrize(
    "changes",
    [{"arch": "encoder"}, {"arch": "bert"}, {"arch": "decoder", "attention": "bidirectional"}],
)
def test_next_token_prediction_with_a_view_of_it_is_refused(changes: dict[str, str]) -> None:
    """Such a model would copy its answer: the loss would fall to nothing and enter a fit."""
    with pytest.raises(SpecError, match="sees in both directions; choose attention causal"):
        train_flops_per_token(make_spec(objective="clm", **changes))
