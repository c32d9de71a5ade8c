"""Marks that do not rest on colour, labels that name the yardstick, numbers as people read them."""

from __future__ import annotations

import math

import pytest

from analysis.style import (
    arm_marks,
    count,
    flops,
    in_legend,
    interval,
    loss_label,
    loss_unit,
    number,
    ramp_marks,
)


def lightness(colour: str) -> float:
    """Relative luminance of an sRGB colour (IEC 61966-2-1 with the weights of Rec. 709)."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_two_arms_differ_in_colour_marker_line_and_lightness() -> None:
    one, other = arm_marks(["encoder", "decoder"]).values()
    assert one.colour != other.colour
    assert one.marker != other.marker
    assert one.line != other.line
    # WCAG contrast between the two: told apart in grey as well.
    bright, dark = sorted((lightness(one.colour), lightness(other.colour)), reverse=True)
    assert (bright + 0.05) / (dark + 0.05) > 2


def test_lightness_of_ordered_values_rises() -> None:
    marks = ramp_marks([1e12, 1e13, 1e14, 1e15, 1e16])
    values = [lightness(marks[budget].colour) for budget in sorted(marks)]
    assert values == sorted(values)
    assert len({mark.marker for mark in marks.values()}) == 5


@pytest.mark.parametrize(
    ("kind", "label"),
    [
        ("mlm@0.15", "masked-token cross-entropy at 15 %, nats per target"),
        ("mlm@0.4 on pairs", "masked-token cross-entropy at 40 % on pairs, nats per target"),
        ("clm", "next-token cross-entropy, nats per target"),
        ("bits_per_byte", "bits per byte of held-out text"),
        ("clm, tokenizer abc", "next-token cross-entropy, nats per target, tokenizer abc"),
        ("score", "score (unit as given in the table)"),
    ],
)
def test_the_label_of_a_loss_names_its_yardstick(kind: str, label: str) -> None:
    assert loss_label(kind) == label


def test_unit_of_a_loss() -> None:
    assert [loss_unit(kind) for kind in ("mlm@0.4", "bits_per_byte", "score")] == [
        "nats per target", "bits per byte", "as in the table",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.34731, "0.347"), (-0.0972, "−0.0972"), (12345.0, "12\u202f345"), (0.0, "0"),
        (1.302e8, "1.30\u202f×\u202f10⁸"), (9.999e7, "1.00\u202f×\u202f10⁸"), (math.nan, "–"),
        (math.inf, "∞"), (None, "–"),
    ],
)  # fmt: skip
def test_numbers(value: float | None, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(40960, "41k"), (999_999, "1M"), (1.302e8, "130M"), (12, "12")]
)
def test_counts(value: float, text: str) -> None:
    assert count(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2e12, "2·10¹²"),
        (1e21, "10²¹"),
        (9.996e14, "10¹⁵"),
        (3.2e13, "3.2·10¹³"),
        (1.2499e11, "1.25·10¹¹"),
        (1.2501e11, "1.25·10¹¹"),
    ],
)
def test_flops(value: float, text: str) -> None:
    assert flops(value) == text


def test_an_interval_has_the_decimals_that_it_supports() -> None:
    assert interval(0.037, -0.0972, 0.19) == "0.037 [−0.097, 0.190]"
    assert interval(0.47512, 0.47317, 0.47701) == "0.4751 [0.4732, 0.4770]"
    assert interval(237.05, 185.6, 306.1) == "237 [186, 306]"
    assert interval(0.105, 0.0017, 3.58) == "0.10 [0.0017, 3.58]"
    assert interval(0.5, None, None) == "0.500"
    assert interval(0.5, 0.4, math.inf) == "0.500 [0.400, unbounded]"


def test_a_legend_names_the_ends_of_a_long_range() -> None:
    assert in_legend(range(1, 4)) == {1, 2, 3}
    named = in_legend(range(40))
    assert {0, 39} <= named
    assert len(named) == 6
