"""Every sampler: seeds, special tokens, costs, log-probabilities; mask-predict and importance."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from scaling.generation import SAMPLERS, GenerationError, Settings, generate, sampler_for, start
from scaling.generation.any_order import revealed
from scaling.generation.mask_predict import predicted
from scaling.models import LanguageModel, build_model
from scaling.spec import RunSpec
from scaling.tokenizer import CLS_ID, FIRST_TEXT_ID, MASK_ID, SEP_ID
from tests.factories import make_spec

CAUSAL = [name for name, sampler in SAMPLERS.items() if sampler.predicts_next]
MASKED = [name for name, sampler in SAMPLERS.items() if not sampler.predicts_next]
LENGTH = 8


def model_for(name: str, **changes: Any) -> tuple[LanguageModel, RunSpec]:
    """A small model with opinions: four kinds of token, and logits of order 1."""
    family = {"arch": "decoder", "objective": "clm"}
    if name in MASKED:
        family = {"arch": "encoder", "objective": "diffusion"}
    spec = make_spec(
        **family, vocab_size=8, seq_len=LENGTH, batch_tokens=LENGTH * 64,
        train_tokens=LENGTH * 64 * 20, warmup_tokens=0, cooldown_tokens=0, **changes,
    )  # fmt: skip
    model = build_model(spec)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter *= 3
    return model.eval(), spec


def canvases(n_texts: int, *given: int) -> Tensor:
    """[CLS], what is given, and blanks up to the length."""
    ids = [CLS_ID, *given, *[MASK_ID] * (LENGTH - 1 - len(given))]
    return torch.tensor([ids]).repeat(n_texts, 1)


@pytest.mark.parametrize("name", SAMPLERS)
def test_all_blanks_are_filled_with_text_and_nothing_else_changes(name: str) -> None:
    model, spec = model_for(name)
    ids_BT = canvases(40, 5)
    ids_BT[:, -1] = SEP_ID
    found_BT = generate(model, spec, ids_BT, name, Settings()).ids_BT
    blank_BT = ids_BT == MASK_ID
    assert (found_BT[blank_BT] >= FIRST_TEXT_ID).all()
    assert torch.equal(found_BT[~blank_BT], ids_BT[~blank_BT])
    assert len(found_BT[blank_BT].unique()) == 4


@pytest.mark.parametrize("name", SAMPLERS)
def test_one_seed_is_one_text_in_any_batch(name: str) -> None:
    model, spec = model_for(name)
    many = generate(model, spec, canvases(12), name, Settings(), seed=7).ids_BT
    one = generate(model, spec, canvases(1), name, Settings(), seed=7, first_text=5).ids_BT
    other = generate(model, spec, canvases(12), name, Settings(), seed=8).ids_BT
    assert torch.equal(many[5:6], one)
    assert not torch.equal(many, other)


@pytest.mark.parametrize("name", ["ancestral", "left_to_right"])
def test_temperature_zero_takes_the_likeliest_token_each_time(name: str) -> None:
    model, spec = model_for(name)
    found_BT = generate(model, spec, canvases(2, 6), name, Settings(temperature=0)).ids_BT
    for position in range(2, LENGTH):
        seen_BT = found_BT.clone()
        seen_BT[:, position:] = MASK_ID
        read = position - 1 if name == "ancestral" else position
        logits_BV = model.logits(model(seen_BT)[:, read])[:, FIRST_TEXT_ID:]
        assert torch.equal(logits_BV.argmax(dim=1) + FIRST_TEXT_ID, found_BT[:, position])


@pytest.mark.parametrize("name", ["ancestral", "left_to_right"])
def test_the_log_probability_is_that_of_the_chain(name: str) -> None:
    model, spec = model_for(name)
    made = generate(model, spec, canvases(6, 6), name, Settings())
    nats_B = torch.zeros(6, dtype=torch.float64)
    for position in range(2, LENGTH):
        seen_BT = made.ids_BT.clone()
        seen_BT[:, position:] = MASK_ID
        read = position - 1 if name == "ancestral" else position
        logits_BV = model.logits(model(seen_BT)[:, read]).double()
        targets_B = made.ids_BT[:, position] - FIRST_TEXT_ID
        nats_B += F.cross_entropy(logits_BV[:, FIRST_TEXT_ID:], targets_B, reduction="none")
    assert made.trace.log_prob_B is not None
    assert made.trace.given_order
    assert made.trace.log_prob_B.tolist() == pytest.approx((-nats_B).tolist(), abs=1e-5)


def test_left_to_right_samples_the_chain_exactly() -> None:
    """Frequencies of the last two tokens against their enumerated probabilities."""
    model, spec = model_for("left_to_right")
    ids_BT = canvases(4000, 4, 5, 6, 7, 4)
    found_BT = generate(model, spec, ids_BT, "left_to_right", Settings()).ids_BT
    pairs = list(itertools.product(range(4, 8), repeat=2))
    law = [chain_probability(model, ids_BT[0].tolist(), pair) for pair in pairs]
    assert sum(law) == pytest.approx(1, abs=1e-5)
    counted = [int((found_BT[:, -2:] == torch.tensor(pair)).all(dim=1).sum()) for pair in pairs]
    assert scipy.stats.chisquare(counted, np.array(law) / sum(law) * 4000).pvalue > 0.01


@torch.no_grad()
def chain_probability(model: LanguageModel, canvas: list[int], pair: tuple[int, int]) -> float:
    probability, ids = 1.0, list(canvas)
    for position, token in zip((-2, -1), pair, strict=True):
        logits_V = model.logits(model(torch.tensor([ids]))[0, position]).double()
        probability *= float(logits_V[FIRST_TEXT_ID:].softmax(0)[token - FIRST_TEXT_ID])
        ids[position] = token
    return probability


def test_importance_weighs_candidates_by_what_follows() -> None:
    model, spec = model_for("importance")
    canvas = [CLS_ID, 4, 5, MASK_ID, MASK_ID, 7, 7, 6]
    ids_BT = torch.tensor([canvas]).repeat(1200, 1)
    made = generate(model, spec, ids_BT, "importance", Settings(candidates=32))
    pairs = list(itertools.product(range(4, 8), repeat=2))
    texts = torch.tensor([[*canvas[:3], *pair, *canvas[5:]] for pair in pairs])
    with torch.no_grad():
        logits = model.logits(model(texts))[..., FIRST_TEXT_ID:].double()
        # Blanks are drawn among text; what is given weighs by the same law.
        steps = logits.log_softmax(-1)[:, 2:-1].gather(-1, texts[:, 3:, None] - FIRST_TEXT_ID)
    law = steps[..., 0].sum(dim=1).exp().numpy()
    law = law / law.sum()
    counted = [int((made.ids_BT[:, 3:5] == torch.tensor(p)).all(dim=1).sum()) for p in pairs]
    blind = steps[:, :2, 0].sum(dim=1).exp().numpy()
    assert scipy.stats.chisquare(counted, law * 1200).pvalue > 0.001
    assert scipy.stats.chisquare(counted, blind / blind.sum() * 1200).pvalue < 1e-6
    assert made.trace.effective_candidates_B is not None
    assert 1 <= made.trace.effective_candidates_B.min() <= 32


def test_the_schedule_of_mask_predict() -> None:
    # Ghazvininejad et al. 2019: N (S - t) / S tokens, so 10, 7, 5, 2 for N = 10 and S = 4.
    n_B = torch.tensor([10])
    assert [int(predicted(n_B, step, 4)) for step in range(4)] == [10, 7, 5, 2]


def test_mask_predict_predicts_the_least_confident_again() -> None:
    model, spec = model_for("mask_predict")
    task, states = start(model, spec, canvases(1), "mask_predict", Settings(steps=7, temperature=0))
    first_BT, second_BT = itertools.islice(states, 2)
    with torch.no_grad():
        probs = model.logits(model(canvases(1)))[0, 1:, FIRST_TEXT_ID:].softmax(-1)
        kept = 1 + int(probs.max(dim=-1).values.argmax())
        hidden_BT = first_BT.clone()
        hidden_BT[0, 1:] = MASK_ID
        hidden_BT[0, kept] = first_BT[0, kept]
        again = model.logits(model(hidden_BT))[0, :, FIRST_TEXT_ID:].argmax(-1) + FIRST_TEXT_ID
    again[kept] = first_BT[0, kept]
    assert second_BT[0, 1:].tolist() == again[1:].tolist()
    assert task.reader.cost.head_positions == 7 + 6


def test_any_order_reveals_evenly() -> None:
    n_B = torch.tensor([7, 2])
    found = [revealed(n_B, step, 3).tolist() for step in (1, 2, 3)]
    assert found == [[3, 1], [5, 2], [7, 2]]


@pytest.mark.parametrize(
    ("name", "settings", "passes"),
    [
        ("ancestral", {}, 7),
        ("left_to_right", {}, 7),
        ("any_order", {}, 7),
        ("any_order", {"steps": 3}, 3),
        ("gibbs", {"sweeps": 2}, 21),
        ("mask_predict", {"steps": 4}, 4),
        ("importance", {"candidates": 5}, 1 + 5 * 6),
    ],
)
def test_passes_per_text(name: str, settings: dict[str, Any], passes: int) -> None:
    model, spec = model_for(name)
    made = generate(model, spec, canvases(3), name, Settings(**settings))
    assert made.cost.forward_passes == 3 * passes


@pytest.mark.parametrize("name", SAMPLERS)
def test_flops_equal_those_counted(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    explicit = {torch.float32: 10**6}
    monkeypatch.setattr("scaling.models.attention.EXPLICIT_BELOW_POSITIONS", explicit)
    model, spec = model_for(name, n_layer=2)
    if name in CAUSAL:
        # The counter knows plain products, and not the kernel that reads the cache.
        monkeypatch.setattr("torch.nn.functional.scaled_dot_product_attention", plain_attention)
    with FlopCounterMode(display=False) as counter:
        made = generate(model, spec, canvases(2, 5), name, Settings())
    assert made.cost.flops(spec) == counter.get_total_flops()


def plain_attention(q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None = None) -> Tensor:
    scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
    return torch.softmax(scores if attn_mask is None else scores + attn_mask, -1) @ v


def test_the_default_suits_model_and_blanks() -> None:
    causal, masked = model_for("ancestral")[1], model_for("gibbs")[1]
    gap_BT = torch.tensor([[CLS_ID, 4, MASK_ID, 5]])
    assert sampler_for(causal, canvases(1)) == "ancestral"
    assert sampler_for(causal, gap_BT) == "importance"
    assert sampler_for(masked, gap_BT) == "any_order"


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("nucleus", {}, "sampler='nucleus' is unknown; known: ancestral"),
        ("gibbs", {}, "'gibbs' does not fit objective='clm'.*choose ancestral, importance"),
        ("ancestral", {"sweeps": 2}, "sweeps=2 has no use for sampler='ancestral'"),
        ("importance", {"steps": 2}, "steps=2 has no use.*its options: candidates"),
    ],
)
def test_wrong_samplers_and_settings(name: str, settings: dict[str, Any], message: str) -> None:
    model, spec = model_for("ancestral")
    with pytest.raises(GenerationError, match=message):
        generate(model, spec, canvases(1), name, Settings(**settings))


def test_ancestral_sampling_refuses_what_it_cannot_see() -> None:
    model, spec = model_for("ancestral")
    gap_BT = torch.tensor([[CLS_ID, 4, MASK_ID, 5]])
    with pytest.raises(GenerationError, match="cannot look while it writes; sampler='importance'"):
        generate(model, spec, gap_BT, "ancestral", Settings())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": -1.0}, "temperature=-1.0 is not 0 or more"),
        ({"temperature": float("nan")}, "temperature=nan is not"),
        ({"top_k": 0}, "top_k=0 is under 1"),
        ({"top_p": 0.0}, r"top_p=0.0 is not in \(0, 1\]"),
        ({"sweeps": -1}, "sweeps=-1 is under 0"),
        ({"energy": "free"}, "energy='free' is unknown; known: normalised, raw"),
    ],
)
def test_wrong_values(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(GenerationError, match=message):
        Settings(**settings)
