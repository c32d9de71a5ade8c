"""What a report says: verdict, interval, what would change it, what to run next."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest

import analysis
from analysis.multiplier_result import needs_text
from analysis.report import advice, words
from analysis.report.sentences import sentence
from analysis.study import Study, make_study
from analysis.table import load_table
from analysis.values import Estimate, Interval


@pytest.fixture
def study(reference_study: Study) -> Study:
    return reference_study


@pytest.fixture(scope="module")
def doubtful() -> Study:
    """The committed quickstart study, whose encoder has two sizes: too few for any exponent."""
    folder = Path(analysis.__file__).parent / "reference" / "quickstart"
    table = load_table(folder)
    frame = table.frame
    kept = (frame["group"] != "encoder") | (frame["params_total"] < 60_000)
    table = dataclasses.replace(table, frame=frame[kept].reset_index(drop=True))
    return make_study(folder, table, n_boot=100, with_checks=False)


def test_a_verdict_without_a_sound_approach_still_gives_the_nearest_number(doubtful: Study) -> None:
    exponents, levels = words.lead(doubtful)
    assert exponents.startswith("These runs do not establish that decoder and encoder differ")
    assert "no approach is sound for both; the Chinchilla law gives +0.05 [−0." in exponents
    assert exponents.endswith("in doubt.")
    assert "encoder needs at least " in levels
    assert "times the compute of decoder for the same loss (by the estimate no compute" in levels
    assert "by laws that are in doubt" in levels
    assert "that extrapolates the law of encoder without end" in levels
    assert "the losses of encoder are upper bounds" in levels


def test_a_sound_approach_gives_the_difference_and_its_interval(study: Study) -> None:
    exponents, levels = words.lead(study)
    assert "a(decoder) − a(encoder) = +0.33 [−0.52, 1.54]" in exponents
    assert "in doubt" not in exponents
    assert "no compute is enough for encoder to reach the loss of decoder" in levels
    assert "about 6.6 times as many runs" in " ".join(advice.changes(study))


def test_what_would_change_the_verdict_names_the_arm_and_its_lack(doubtful: Study) -> None:
    found = " ".join(advice.changes(doubtful))
    assert "A sound exponent for encoder would: it has none today (Chinchilla law and Kap" in found
    assert "decoder would" not in found
    steps = " ".join(advice.next_steps(doubtful))
    assert "encoder, first: budgets with a minimum (0 of 3 budgets have a minimum;" in steps
    assert "2.5·10¹¹, 5·10¹¹, 10¹² FLOPs" in steps


def test_an_interval_that_holds_zero_says_how_many_runs_would_narrow_it(study: Study) -> None:
    assert study.comparison is not None
    verdict = study.comparison.verdict
    box = Interval(low=-0.2, high=0.1, level=0.95, method="test")
    value = Estimate(name="difference of a", value=-0.05, unit="1", interval=box)
    unclear = dataclasses.replace(verdict, claim="", estimate=value, approach="law")

    def said(estimate: Estimate) -> str:
        changed = dataclasses.replace(unclear, estimate=estimate)
        comparison = dataclasses.replace(study.comparison, verdicts=(changed,))  # type: ignore[type-var]
        return " ".join(advice.changes(dataclasses.replace(study, comparison=comparison)))

    # The upper side is three times the difference: nine times the runs by their root.
    assert "takes about 9.0 times as many runs" in said(value)
    assert "is out of reach" in said(dataclasses.replace(value, value=-1e-4))
    endless = dataclasses.replace(box, high=math.inf)
    assert "one side is unbounded" in said(dataclasses.replace(value, interval=endless))


@pytest.mark.parametrize(
    ("low", "value", "high", "text"),
    [
        (1.5, 2.0, 4.0, "y needs 2.00 [1.50, 4.00] times the compute of x for the same loss"),
        (1.5, 2.0, math.inf, "y needs at least 1.50 times the compute of x for the same loss (2.00 "
         "by the estimate, no upper end)"),
        (1.5, math.inf, math.inf, "y needs at least 1.50 times the compute of x for the same loss "
         "(by the estimate no compute is enough, no upper end)"),
        (math.inf, math.inf, math.inf, "no compute is enough for y to reach the loss of x (at any "
         "end of the interval)"),
        (0.0, 2.0, 4.0, "y needs at most 4.00 times the compute of x for the same loss (2.00 by "
         "the estimate, no lower end)"),
        (0.0, 0.0, 4.0, "y needs at most 4.00 times the compute of x for the same loss (by the "
         "estimate hardly any, no lower end)"),
        (0.0, 2.0, math.inf, "y needs 2.00 times the compute of x for the same loss (the interval "
         "has no end on either side)"),
        (0.0, math.inf, math.inf, "what y needs for the loss of x is not known (the interval has "
         "no end on either side)"),
    ],
)  # fmt: skip
def test_a_factor_says_which_end_it_has(low: float, value: float, high: float, text: str) -> None:
    box = Interval(low=low, high=high, level=0.95, method="test")
    m = Estimate(name="m", value=value, unit="1", interval=box)
    assert needs_text(m, "x", "y") == text


def test_a_claim_needs_an_interval_on_one_side_of_one(study: Study) -> None:
    assert study.bits is not None
    (found,) = study.bits.multipliers.values()
    straddling = dataclasses.replace(found, low=found.low, high=np.full_like(found.high, np.inf))
    low = straddling.low.copy()
    low[:] = 0.5
    bits = dataclasses.replace(
        study.bits, multipliers={found.group: dataclasses.replace(straddling, low=low)}
    )
    text = words.lead(dataclasses.replace(study, bits=bits))[-1]
    assert "neither is shown to need less compute" in text


def test_no_terminal_lines_share_a_name(study: Study) -> None:
    from analysis.commands.report import _exponents

    lines = _exponents(study).splitlines()
    for arm in study.arms:
        start = next(i for i, line in enumerate(lines) if line.startswith(f"{arm} ("))
        names = [line[2:30].strip() for line in lines[start + 1 : start + 5]]
        assert names == [
            "a of N*, isoFLOP minima", "a of N*, loss surface", "alpha of N, loss surface",
            "beta of D, loss surface",
        ]  # fmt: skip
    encoder = next(line for line in lines if "alpha of N" in line)
    assert encoder.endswith("unbounded]  doubtful")


def test_sentences_keep_names_and_write_numbers_as_the_page_does() -> None:
    assert sentence("neither at 1e+12 FLOPs [-0.2, 0.1]") == "Neither at 10¹² FLOPs [−0.2, 0.1]."
    assert sentence("gpt: fine.") == "gpt: fine."
    assert sentence("a sound exponent would") == "A sound exponent would."
    assert sentence("a (gpt) is") == "a (gpt) is."
