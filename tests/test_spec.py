"""RunSpec: identity, validation, JSON."""

from __future__ import annotations

import dataclasses
import json

import pytest

from scaling.spec import RunSpec, SpecError
from tests.factories import make_spec


def test_run_id_is_pinned() -> None:
    """Ids of finished runs must never change: a store would train everything again."""
    assert make_spec().run_id == "3f38e667a7647c0f"


def test_run_id_ignores_the_place_of_the_text_but_not_its_content() -> None:
    spec = make_spec()
    assert spec.replace(corpus="files:elsewhere").run_id == spec.run_id
    assert spec.replace(corpus_fingerprint="other").run_id != spec.run_id


def test_every_other_field_is_part_of_the_identity() -> None:
    spec = make_spec(d_model=64, n_head=4, pair_cut="sentence")
    changes = {
        "negatives": "same_document",
        "pair_cut": "anywhere",
        "position_bias": "relative",
        "train_tokens": spec.train_tokens + spec.batch_tokens,
        "batch_tokens": spec.batch_tokens * 2,
        "cooldown_tokens": spec.cooldown_tokens + 2 * spec.batch_tokens,
        "precision": "bf16",
        "attention": "causal",
        "corruption": "mask",
        "n_head": 8,
        "seq_len": spec.seq_len // 2,
    }
    ids = {spec.run_id}
    fields = [f for f in dataclasses.fields(RunSpec) if f.name != "corpus"]
    for field in fields:
        value = getattr(spec, field.name)
        if field.name in changes:
            new = changes[field.name]
        elif isinstance(value, str):
            new = value + "x"
        elif isinstance(value, int):
            new = value + 1
        else:
            new = value * 0.5
        # A width of 65 has no whole heads: the shape is checked before the identity.
        changed = {field.name: new, **({"n_head": 1} if field.name == "d_model" else {})}
        ids.add(spec.replace(**changed).run_id)
    assert len(ids) == len(fields) + 1


def test_wrong_pairs_of_one_document_are_cut_at_sentences() -> None:
    assert make_spec(pair_cut="sentence", negatives="same_document").negatives == "same_document"
    with pytest.raises(SpecError, match="give pair_cut sentence"):
        make_spec(negatives="same_document")


def test_horizons_of_one_trunk_share_its_id() -> None:
    spec = make_spec()
    longer = spec.replace(train_tokens=spec.train_tokens * 2)
    assert longer.trunk_id == spec.trunk_id
    assert longer.run_id != spec.run_id
    assert spec.replace(seed=1).trunk_id != spec.trunk_id


def test_json_round_trip() -> None:
    spec = make_spec(mask_rate=0.4)
    assert RunSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"d_model": 30, "n_head": 4},
            "d_model=30 is not divisible by n_head=4; the nearest width that is: 32",
        ),
        ({"peak_lr": "3e-4"}, "write 3.0e-4"),
        ({"seq_len": True}, "seq_len=True is not of type int"),
        ({"train_tokens": 1000}, "not a multiple of batch_tokens"),
        ({"batch_tokens": 100}, "not a multiple of seq_len"),
        ({"cooldown_tokens": 512 * 1000}, "exceed train_tokens"),
        ({"peak_lr": -1.0}, "not a positive number"),
        ({"peak_lr": float("nan")}, "not a positive number"),
        ({"mask_rate": 0.0}, "not in (0, 1]"),
        ({"precision": "fp8"}, "known: float32, bf16"),
        ({"attention": "sideways"}, "known: default, causal, bidirectional"),
        ({"seed": -1}, "negative"),
        ({"n_layer": 0}, "not positive"),
        ({"adam_beta2": 1.0}, "not in [0, 1)"),
    ],
)
def test_broken_rules_are_named(changes: dict, message: str) -> None:
    with pytest.raises(SpecError) as error:
        make_spec(**changes)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_unknown_and_missing_fields_are_named() -> None:
    values = make_spec().to_dict()
    with pytest.raises(SpecError, match="unknown field 'learning_rate'"):
        RunSpec.from_dict({**values, "learning_rate": 1.0})
    del values["arch"]
    with pytest.raises(SpecError, match="lacks arch"):
        RunSpec.from_dict(values)
