"""The size ladder."""

from __future__ import annotations

import pytest

from scaling.sizes import SIZES

_UNITS = {"k": 1e3, "M": 1e6}


@pytest.mark.parametrize("name", SIZES)
def test_a_rung_is_named_after_its_block_params(name: str) -> None:
    named = float(name[:-1]) * _UNITS[name[-1]]
    assert SIZES[name].block_params == pytest.approx(named, rel=0.03)


def test_rungs_ascend_and_heads_divide_widths() -> None:
    sizes = list(SIZES.values())
    assert [s.block_params for s in sizes] == sorted(s.block_params for s in sizes)
    for size in sizes:
        assert size.d_model % size.n_head == 0
        assert 16 <= size.d_model // size.n_head <= 64


def test_the_top_rungs_are_gpt2_small_and_bert_large() -> None:
    assert (SIZES["85M"].n_layer, SIZES["85M"].d_model, SIZES["85M"].n_head) == (12, 768, 12)
    assert (SIZES["302M"].n_layer, SIZES["302M"].d_model, SIZES["302M"].n_head) == (24, 1024, 16)
