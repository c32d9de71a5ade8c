"""A point of a grid becomes the run it asks for, and a wrong value says what is right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from scaling import accounting
from scaling import resolve as module
from scaling.arms import ARMS
from scaling.errors import SweepError
from scaling.evaluate.size_of_set import tokens_for_standard_error
from scaling.models import build_shapes
from scaling.objectives import OBJECTIVES
from scaling.recipe import recipe
from scaling.resolve import Resolved, resolve
from scaling.sizes import SIZES
from scaling.spec import RunSpec
from tests.tiny_sweep import loader, tiny_parameters


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("resolve")


def resolved(folder: Path, **changes: Any) -> Resolved:
    values = tiny_parameters(folder, **({"train_tokens": 51200} | changes))
    return resolve(values, loader(folder))


def spec_of(folder: Path, **changes: Any) -> RunSpec:
    found = resolved(folder, **changes)
    assert found.excluded is None
    assert found.spec is not None
    return found.spec


def test_a_wanted_standard_error_sets_the_size_of_the_validation_set(folder: Path) -> None:
    text = loader(folder)(tiny_parameters(folder)["corpus"], "bytes", None)
    spec = spec_of(folder, eval_tokens=None, eval_standard_error=0.008)
    assert spec.eval_tokens == tokens_for_standard_error(text, spec.seq_len, 0.008)
    with pytest.raises(SweepError, match="eval_standard_error and eval_tokens"):
        spec_of(folder, eval_standard_error=0.1)


def test_what_is_given_stands_in_the_spec(folder: Path) -> None:
    spec = spec_of(folder, mask_rate=0.4, seed=3, weight_decay=0.0)
    assert (spec.mask_rate, spec.seed, spec.weight_decay) == (0.4, 3, 0.0)
    assert (spec.arch, spec.objective, spec.d_ff, spec.vocab_size) == ("decoder", "clm", 64, 260)


@pytest.mark.parametrize("arch", ["encoder", "decoder", "bert", "roberta", "gpt"])
def test_isoflop_cells_cost_what_was_asked_to_within_half_a_batch(folder: Path, arch: str) -> None:
    spec = spec_of(folder, arch=arch, train_tokens=None, train_flops=3.0e9, batch_tokens=256)
    per_token = accounting.train_flops_per_token(spec)
    assert abs(spec.train_tokens * per_token - 3.0e9) <= per_token * spec.batch_tokens / 2
    assert spec.train_tokens % spec.batch_tokens == 0
    assert spec.cooldown_tokens % spec.batch_tokens == 0


def test_tokens_per_param_counts_parameters_without_embeddings(folder: Path) -> None:
    spec = spec_of(folder, train_tokens=None, tokens_per_param=20)
    params = accounting.params_non_embedding(spec)
    assert abs(spec.train_tokens - 20 * params) <= spec.batch_tokens / 2


def test_the_cooldown_is_a_fifth_unless_the_sweep_says_otherwise(folder: Path) -> None:
    assert spec_of(folder).cooldown_tokens == 51200 // 5
    assert spec_of(folder, cooldown_share=0.5).cooldown_tokens == 51200 // 2
    assert spec_of(folder, cooldown_share=0.0).cooldown_tokens == 0
    assert spec_of(folder, cooldown_tokens=512).cooldown_tokens == 512


def test_the_recipe_fills_in_what_is_missing_and_nothing_else(folder: Path) -> None:
    missing = {"peak_lr": None, "batch_tokens": None, "warmup_tokens": None}
    spec = spec_of(folder, **missing, train_tokens=1_000_000)
    rule = recipe(accounting.params_non_embedding(spec), "clm", 32)
    assert (spec.peak_lr, spec.batch_tokens) == (rule.peak_lr, rule.batch_tokens)
    assert spec.warmup_tokens == rule.warmup_tokens
    given = spec_of(folder, **missing | {"peak_lr": 0.5}, train_tokens=1_000_000)
    assert (given.peak_lr, given.batch_tokens) == (0.5, rule.batch_tokens)


def test_horizons_of_one_size_share_a_trunk(folder: Path) -> None:
    short, long = (spec_of(folder, train_tokens=tokens) for tokens in (25600, 51200))
    assert short.trunk_id == long.trunk_id
    assert short.run_id != long.run_id


def test_a_rung_is_the_shape_of_the_ladder(folder: Path) -> None:
    spec = spec_of(folder, size="98k", n_layer=None, d_model=None, n_head=None)
    rung = SIZES["98k"]
    assert (spec.n_layer, spec.d_model, spec.n_head) == (rung.n_layer, rung.d_model, rung.n_head)


@pytest.mark.parametrize(
    ("n_gpus", "native", "precision"),
    [(1, True, "bf16"), (1, False, "float32"), (0, True, "float32")],
)
def test_precision_auto_is_settled_before_the_id(
    folder: Path, monkeypatch: pytest.MonkeyPatch, n_gpus: int, native: bool, precision: str
) -> None:
    monkeypatch.setattr(module, "gpus", lambda: n_gpus)
    monkeypatch.setattr(module, "native_bf16", lambda: native)
    assert spec_of(folder, precision="auto").precision == precision
    assert spec_of(folder, precision="auto") == spec_of(folder, precision=precision)


def test_one_number_written_in_two_ways_is_one_run(folder: Path) -> None:
    assert spec_of(folder, train_tokens=51200.0, peak_lr=1) == spec_of(folder, peak_lr=1.0)


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"min_steps": 201}, "steps=200 is under min_steps=201"),
        ({"max_tokens_per_param": 10}, "tokens_per_param=15.46 is over max_tokens_per_param=10"),
        ({"min_tokens_per_param": 20}, "tokens_per_param=15.46 is under min_tokens_per_param=20"),
        ({"min_steps": 200, "max_tokens_per_param": 16, "min_tokens_per_param": 15}, None),
    ],
)
def test_limits_exclude_with_the_reason(folder: Path, limits: Any, reason: str | None) -> None:
    found = resolved(folder, limits=limits)
    assert found.excluded == reason
    assert found.spec is not None


def test_a_horizon_without_room_to_warm_up_is_excluded(folder: Path) -> None:
    found = resolved(folder, train_tokens=2560, warmup_tokens=2304)
    assert found.spec is None
    assert found.excluded == (
        "warmup_tokens=2304 and cooldown_tokens=512 exceed train_tokens=2560: "
        "the horizon is too short for this size"
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arch": "decodr"}, "arch='decodr' is unknown; did you mean 'decoder'? known: bert, "),
        ({"objective": "clmm"}, "objective='clmm' is unknown; did you mean 'clm'?"),
        ({"n_head": 3}, "d_model=16 is not divisible by n_head=3; the nearest width that is: 15"),
        ({"peak_lr": "3e-4"}, "peak_lr='3e-4' is not a number; YAML reads 3e-4 as text: "
         "write 3.0e-4"),
        ({"train_tokens": None, "train_flops": "1e15"}, "train_flops='1e15' is not a number; "
         "YAML reads 1e15 as text: write 1.0e+15"),
        ({"train_tokens": "1.5e6"}, "train_tokens='1.5e6' is not a whole number; YAML reads 1.5e6 "
         "as text: write 1.5e+6"),
        ({"seq_len": 32.5}, "seq_len=32.5 is not a whole number; the nearest: 32"),
        ({"seed": True}, "seed=True is not a whole number; it is bool"),
        ({"size": "443k", "n_layer": None, "d_model": None, "n_head": None},
         "size='443k' is unknown; did you mean '442k'?"),
        ({"size": ["25k"], "n_layer": None, "d_model": None, "n_head": None},
         "25k, 55k, 98k, 147k"),
        ({"size": "25k"}, "the sweep gives size and n_layer, d_model, n_head; give one or"),
        ({"n_head": None}, "gives no shape; give size, or n_layer, d_model and n_head"),
        ({"mask_rte": 0.4}, "parameter 'mask_rte' is unknown; did you mean 'mask_rate'?"),
        ({"corpus_fingerprint": "x"}, "parameter 'corpus_fingerprint' is unknown"),
        ({"seq_len": None}, "the sweep lacks seq_len; add them under `parameters`"),
        ({"train_flops": 1e9}, "gives train_flops and train_tokens; give exactly one of"),
        ({"train_tokens": None}, "gives no horizon; give exactly one of train_flops, train_tokens"),
        ({"train_tokens": -5}, "train_tokens=-5 is not positive"),
        ({"cooldown_share": 1.5}, "cooldown_share=1.5 is not in [0, 1]"),
        ({"cooldown_share": 0.1, "cooldown_tokens": 256}, "gives cooldown_share and cooldown_tok"),
        ({"batch_tokens": 250}, "batch_tokens=250 is not a multiple of seq_len=32"),
        ({"precision": "fp8"}, "precision='fp8' is unknown; known: float32, bf16"),
        ({"limits": {"min_step": 1}}, "limit 'min_step' is unknown; did you mean 'min_steps'?"),
        ({"limits": {"min_steps": "1e3"}}, "min_steps='1e3' is not a number; YAML reads 1e3"),
        ({"limits": 5}, "limits=5 is not a mapping"),
        ({"vocab_size": 512}, "vocab_size=512 is given, but the tokenizer 'bytes'"),
        ({"seq_len": 100_000, "batch_tokens": 100_000}, "tokens in its train split, fewer than a "
         "sequence of seq_len=100000; give more text or a shorter seq_len"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_told_with_its_rule(folder: Path, changes: Any, message: str) -> None:
    with pytest.raises(ValueError, match=r".") as raised:
        resolved(folder, **changes)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("arm", ARMS)
def test_an_arm_is_the_run_that_its_settings_describe(folder: Path, arm: str) -> None:
    by_name = spec_of(folder, arch=None, arm=arm)
    assert by_name == spec_of(folder, **ARMS[arm])
    assert OBJECTIVES[by_name.objective].predicts_next <= build_shapes(by_name).is_causal


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arch": None, "arm": "clm-51"}, "arm='clm-51' is unknown; did you mean 'clm-15'"),
        ({"arm": "clm"}, "the sweep gives arch and arm; give exactly one"),
        ({"arch": None}, "the sweep gives no model; give exactly one of arch, arm"),
        ({"arch": None, "arm": "mlm-40", "mask_rate": 0.5}, "arm=mlm-40 and mask_rate, which it"),
    ],
)
def test_an_arm_and_what_it_settles_exclude_each_other(
    folder: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        resolved(folder, **changes)
