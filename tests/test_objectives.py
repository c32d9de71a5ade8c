"""What each objective predicts, and from what."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scaling.models import LanguageModel, build_model
from scaling.objectives import OBJECTIVES, Batch
from scaling.objectives.diffusion import any_order_batch
from scaling.objectives.masking import choose_positions, corrupt
from scaling.objectives.mlm import masked_batch
from scaling.objectives.objective import NO_TARGET, is_text, step_rng
from scaling.objectives.validation_set import Block, spread
from scaling.text import Text
from scaling.tokenizer import CLS_ID, FIRST_TEXT_ID, MASK_ID, PAD_ID, SEP_ID
from tests.factories import make_text, spec_for

ARCH = {
    "clm": "decoder",
    "mlm": "encoder",
    "mlm-pairs": "bert",
    "mlm+nsp": "bert",
    "mlm+sop": "bert",
    "nsp": "bert",
    "diffusion": "encoder",
    "prefix": "decoder",
}


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Text:
    return make_text(tmp_path_factory.mktemp("text"))


def targets(batch: Batch) -> torch.Tensor:
    return batch.target_ids_M[batch.target_ids_M != NO_TARGET]


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_batch_depends_on_seed_and_step_alone(name: str, text: Text) -> None:
    spec = spec_for(text, arch=ARCH[name], objective=name)
    objective = OBJECTIVES[name]
    first, again = (objective.training_batch(text, spec, 7) for _ in range(2))
    assert torch.equal(first.input_ids_BT, again.input_ids_BT)
    assert torch.equal(first.target_ids_M, again.target_ids_M)
    other_step = objective.training_batch(text, spec, 8)
    other_seed = objective.training_batch(text, spec.replace(seed=1), 7)
    assert not torch.equal(first.input_ids_BT, other_step.input_ids_BT)
    assert not torch.equal(first.input_ids_BT, other_seed.input_ids_BT)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_special_tokens_are_never_targets(name: str, text: Text) -> None:
    spec = spec_for(text, arch=ARCH[name], objective=name, mask_rate=1.0)
    seen_specials = set()
    for step in range(20):
        batch = OBJECTIVES[name].training_batch(text, spec, step)
        assert (targets(batch) >= FIRST_TEXT_ID).all()
        predicted = batch.targets if batch.predicted is None else batch.predicted
        assert predicted == len(targets(batch))
        seen_specials |= set(batch.input_ids_BT.unique().tolist()) & {PAD_ID, CLS_ID, SEP_ID}
    assert {CLS_ID, SEP_ID} <= seen_specials, "the text must hold specials for this to mean much"


@pytest.mark.parametrize("name", OBJECTIVES)
def test_head_positions_are_what_the_batch_holds(name: str, text: Text) -> None:
    for changes in ({}, {"mask_rate": 0.4, "target_share": 0.15}):
        spec = spec_for(text, arch=ARCH[name], objective=name, **changes)
        steps = 64 if name in ("diffusion", "prefix") else 1
        batches = [OBJECTIVES[name].training_batch(text, spec, step) for step in range(steps)]
        expected = OBJECTIVES[name].head_positions(spec) * spec.sequences_per_step
        found = sum(batch.target_ids_M.numel() for batch in batches) / steps
        # These draw how many tokens they predict, and texts with separators have fewer.
        assert found == pytest.approx(expected, rel=0 if steps == 1 else 0.1)


def test_both_arms_read_the_same_windows(text: Text) -> None:
    causal = OBJECTIVES["clm"].training_batch(text, spec_for(text), 3)
    spec = spec_for(text, arch="encoder", objective="mlm")
    masked = OBJECTIVES["mlm"].training_batch(text, spec, 3)
    restored = masked.input_ids_BT.reshape(-1).clone()
    counted = masked.target_ids_M != NO_TARGET
    restored[masked.target_index_M[counted]] = masked.target_ids_M[counted]
    assert torch.equal(restored, causal.input_ids_BT.reshape(-1))


def test_clm_predicts_the_next_token_of_all_text(text: Text) -> None:
    batch = OBJECTIVES["clm"].training_batch(text, spec_for(text), 0)
    following_M = batch.input_ids_BT.reshape(-1)[batch.target_index_M + 1]
    counted = batch.target_ids_M != NO_TARGET
    assert torch.equal(batch.target_ids_M[counted], following_M[counted])
    assert batch.targets == int((batch.input_ids_BT[:, 1:] >= FIRST_TEXT_ID).sum())


def test_clm_on_a_share_of_the_targets_draws_them_from_all(text: Text) -> None:
    spec = spec_for(text, target_share=0.2)
    batches = [OBJECTIVES["clm"].training_batch(text, spec, step) for step in range(40)]
    positions = torch.cat([b.target_index_M % spec.seq_len for b in batches])
    assert set(positions.tolist()) == set(range(spec.seq_len - 1))


def test_mlm_corrupts_80_10_10() -> None:
    rng = step_rng(0, 0)
    ids_BT = rng.integers(FIRST_TEXT_ID, 260, (2000, 128))
    positions_BK, chosen_BK = choose_positions(ids_BT >= FIRST_TEXT_ID, 19, rng)
    seen_BT = corrupt(ids_BT, positions_BK, chosen_BK, corruption="bert", vocab_size=260, rng=rng)
    before = np.take_along_axis(ids_BT, positions_BK, 1)
    after = np.take_along_axis(seen_BT, positions_BK, 1)
    # Binomial standard errors at 38,000 draws are under 0.0021.
    assert np.mean(after == MASK_ID) == pytest.approx(0.8, abs=0.008)
    assert np.mean(after == before) == pytest.approx(0.1 + 0.1 / 256, abs=0.006)
    untouched = np.ones_like(ids_BT, dtype=bool)
    np.put_along_axis(untouched, positions_BK, False, axis=1)
    assert np.array_equal(ids_BT[untouched], seen_BT[untouched])


def test_masks_alone_hide_every_token_to_predict_and_no_other() -> None:
    rng = step_rng(0, 0)
    ids_BT = rng.integers(FIRST_TEXT_ID, 260, (50, 32))
    candidates_BT = ids_BT >= FIRST_TEXT_ID
    candidates_BT[0, 3:] = False  # fewer than are to be chosen: some places only fill the shape
    positions_BK, chosen_BK = choose_positions(candidates_BT, 8, rng)
    assert not chosen_BK.all()
    seen_BT = corrupt(ids_BT, positions_BK, chosen_BK, corruption="mask", vocab_size=260, rng=rng)
    hidden_BT = np.zeros_like(candidates_BT)
    np.put_along_axis(hidden_BT, positions_BK, chosen_BK, axis=1)
    assert np.array_equal(seen_BT, np.where(hidden_BT, MASK_ID, ids_BT))


def test_losses_under_two_corruptions_are_two_yardsticks(text: Text) -> None:
    spec = spec_for(text, arch="encoder", objective="mlm")
    yardstick = OBJECTIVES["mlm"].yardstick
    assert yardstick(spec) == "mlm@0.15"
    assert yardstick(spec.replace(corruption="mask")) == "mlm@0.15, mask alone"


def test_mlm_predicts_15_percent_of_each_full_row() -> None:
    ids_BT = np.full((8, 128), 50, dtype=np.int64)
    ids_BT[:, 0] = CLS_ID
    batch = masked_batch(ids_BT, 0.15, corruption="bert", vocab_size=260, rng=step_rng(0, 0))
    assert batch.targets == 8 * 19


def test_a_row_of_few_candidates_keeps_the_share() -> None:
    ids_BT = np.full((4, 128), PAD_ID, dtype=np.int64)
    ids_BT[:, 1:21] = 50
    batch = masked_batch(ids_BT, 0.15, corruption="bert", vocab_size=260, rng=step_rng(0, 0))
    assert batch.targets == 4 * 3


def test_masks_are_dynamic_in_training_and_fixed_in_validation(text: Text) -> None:
    low = spec_for(text, arch="encoder", objective="mlm", mask_rate=0.15)
    high = low.replace(mask_rate=0.4, seed=5, peak_lr=0.1)
    objective = OBJECTIVES["mlm"]
    for one, other in zip(
        objective.validation_batches(text, low, 20),
        objective.validation_batches(text, high, 20),
        strict=True,
    ):
        assert torch.equal(one.input_ids_BT, other.input_ids_BT)
        assert torch.equal(one.target_index_M, other.target_index_M)


def test_nsp_labels_are_balanced_and_told_apart_by_class_zero(text: Text) -> None:
    spec = spec_for(text, arch="bert", objective="mlm+nsp")
    batches = [OBJECTIVES["mlm+nsp"].training_batch(text, spec, step) for step in range(60)]
    is_next = torch.cat([batch.is_next_B for batch in batches])
    assert is_next.float().mean() == pytest.approx(0.5, abs=4 * 0.5 / len(is_next) ** 0.5)
    model = build_model(spec)
    model.requires_grad_(False)
    terms = OBJECTIVES["mlm+nsp"].nll(model, batches[0])
    hidden_BTE = model(batches[0].input_ids_BT, batches[0].segment_ids_BT, batches[0].valid_BT)
    log_p_B2 = model.pair_logits(hidden_BTE).log_softmax(-1)
    by_hand = -sum(
        float(row[0 if follows else 1])
        for row, follows in zip(log_p_B2, batches[0].is_next_B, strict=True)
    )
    assert float(terms["nsp"][0]) == pytest.approx(by_hand, rel=1e-5)
    assert terms["nsp"][1] == spec.sequences_per_step


def test_a_pair_is_right_where_its_larger_logit_says_so(text: Text) -> None:
    spec = spec_for(text, arch="bert", objective="nsp")
    model = build_model(spec).requires_grad_(False)
    batch = OBJECTIVES["nsp"].training_batch(text, spec, 0)
    model.pair_head.bias.copy_(torch.tensor([50.0, 0.0]))
    always_next = OBJECTIVES["nsp"].nll(model, batch)["nsp"]
    assert always_next.correct is not None
    assert batch.is_next_B is not None
    assert int(always_next.correct) == int(batch.is_next_B.sum())


def test_the_arms_on_pairs_differ_in_their_losses_alone(text: Text) -> None:
    """MLM with and without a loss on the pairs, and that loss alone, read the same input."""
    batches = {
        name: OBJECTIVES[name].training_batch(text, spec_for(text, arch="bert", objective=name), 3)
        for name in ("mlm-pairs", "mlm+nsp", "nsp")
    }
    assert len({batch.input_ids_BT.numpy().tobytes() for batch in batches.values()}) == 1
    assert torch.equal(batches["mlm-pairs"].target_ids_M, batches["mlm+nsp"].target_ids_M)
    model = build_model(spec_for(text, arch="bert", objective="nsp"))
    terms = {name: set(OBJECTIVES[name].nll(model, batch)) for name, batch in batches.items()}
    assert terms == {"mlm-pairs": {"mlm"}, "mlm+nsp": {"mlm", "nsp"}, "nsp": {"nsp"}}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_shards_sum_to_the_whole(name: str, text: Text) -> None:
    """What two devices compute adds up to what one does, and the counts are the step's."""
    spec = spec_for(text, arch=ARCH[name], objective=name)
    torch.manual_seed(0)
    model = build_model(spec).requires_grad_(False)
    whole = OBJECTIVES[name].training_batch(text, spec, 0)
    complete = OBJECTIVES[name].nll(model, whole)
    shares = [OBJECTIVES[name].nll(model, whole.shard(rank, 2)) for rank in range(2)]
    for term, loss in complete.items():
        assert float(sum(share[term].nats for share in shares)) == pytest.approx(
            float(loss.nats), rel=1e-5
        )
        assert all(share[term].targets == loss.targets for share in shares)
        if loss.correct is not None:
            assert sum(int(share[term].correct) for share in shares) == int(loss.correct)


def last_seen(
    model: LanguageModel, ids_BT: torch.Tensor, prefix_B: torch.Tensor, position: int
) -> int:
    """The last position on which the hidden state at `position` depends."""
    embedded: list[torch.Tensor] = []
    handle = model.token_embedding.register_forward_hook(
        lambda module, args, output: embedded.append(output)
    )
    hidden_BTE = model(ids_BT, prefix_B=prefix_B)
    handle.remove()
    (gradient,) = torch.autograd.grad(hidden_BTE[0, position].square().sum(), embedded)
    return int((gradient[0].abs().sum(dim=1) > 0).nonzero().max())


def test_a_prefix_sees_itself_and_nothing_sees_what_it_predicts(text: Text) -> None:
    """Zero gradients prove it: of a prediction after the prefix, with respect to each position."""
    spec = spec_for(text, objective="prefix")
    torch.manual_seed(0)
    model = build_model(spec)
    batch = OBJECTIVES["prefix"].training_batch(text, spec, 0)
    assert batch.prefix_B is not None
    row = int((batch.prefix_B - spec.seq_len // 2).abs().argmin())
    prefix = int(batch.prefix_B[row])
    ids_BT, prefix_B = batch.input_ids_BT[row : row + 1], batch.prefix_B[row : row + 1]
    seen = [last_seen(model, ids_BT, prefix_B, at) for at in (0, prefix - 1, prefix)]
    assert seen == [prefix - 1, prefix - 1, prefix]
    targets_of_row = batch.target_index_M[batch.target_index_M // spec.seq_len == row]
    assert int(targets_of_row.min()) % spec.seq_len >= prefix - 1


def test_the_any_order_weights_make_up_for_the_tokens_not_hidden(text: Text) -> None:
    spec = spec_for(text, arch="encoder", objective="diffusion")
    for step in range(5):
        batch = OBJECTIVES["diffusion"].training_batch(text, spec, step)
        assert batch.target_weight_M is not None
        assert float(batch.target_weight_M.sum()) == pytest.approx(batch.targets, rel=1e-5)
        assert (batch.input_ids_BT.reshape(-1)[batch.target_index_M] == MASK_ID).all()


def test_a_row_s_share_is_drawn_before_its_places() -> None:
    """The order of the draws is part of every bits per byte that was recorded."""
    ids_BT = np.arange(4, 4 + 60).reshape(3, 20)
    rng = np.random.default_rng(5)
    expected = []
    for row, ids_T in enumerate(ids_BT):
        k = 1 + int(20 * (spread(row, 3) + rng.random()) / 3)
        places, _ = choose_positions(is_text(ids_T)[None], k, rng)
        expected += [row * 20 + place for place in places[0].tolist()]
    rng = np.random.default_rng(5)
    block = Block(ids_BT=ids_BT, first=0, n_sequences=3)
    found = any_order_batch(ids_BT, block.spread_shares(rng), rng)
    assert found.target_index_M.tolist() == expected
