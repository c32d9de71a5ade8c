"""Masked models by a code without a bound: the left-to-right chain beside the any-order bound.

Both are lengths that a text could be written down in with the model, so the shorter of the two is
a fair figure of what it knows: no model is judged by the looseness of its bound alone.
"""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from analysis.questions.answer import QuestionVerdict, judge
from analysis.questions.arm_ladder import LOSS, REFERENCE, STEPS, gap
from analysis.questions.table import QuestionTable
from analysis.seeds import seed_mean
from analysis.style import flops

MEASUREMENT = "left_to_right"


def codes_frame(table: QuestionTable, frame: pd.DataFrame) -> pd.DataFrame:
    """The runs whose loss is a bound and whose chain was measured, with both codes.

    Args:
        frame: as `runs_frame` gives it.
    Returns:
        The columns of `frame`, and `chain`: bits per byte from left to right.
    """
    chain_of = {
        one.run["run_id"]: one.values["bits_per_byte"]
        for one in table.evaluations
        if one.measurement == MEASUREMENT and one.options.get("weights", "trained") == "trained"
    }
    found = frame.assign(chain=frame["run_id"].map(chain_of).astype(float))
    return found[(found["kind"] == "upper_bound") & found["chain"].notna()]


def code_verdicts(codes: pd.DataFrame, frame: pd.DataFrame) -> Iterator[QuestionVerdict]:
    """How far the two codes of each arm lie apart, and what the shorter one says of the arms."""
    if codes.empty:
        return
    for arm, runs in codes.groupby("arm", sort=False):
        runs = runs.assign(apart=runs["chain"] - runs[LOSS])
        apart = runs.groupby("seed")["apart"].mean()
        is_longer = apart.mean() > 0
        yield judge(
            f"{arm}: the code from left to right is {'longer' if is_longer else 'shorter'} than "
            "the any-order bound",
            seed_mean(list(apart), name="left to right less any order", unit="bits/byte"),
            n_seeds=len(apart), above=is_longer, basis=f"{len(runs)} runs",
        )  # fmt: skip
    by_code = _by_shorter_code(codes, frame)
    for arm in dict.fromkeys(codes["arm"]):
        claim = f"{arm} needs {{}} bits per byte than {REFERENCE}"
        yield from _compared(by_code, arm, REFERENCE, claim)
    for what, after, before in STEPS:
        yield from _compared(by_code, after, before, f"the {what} {{}} bits per byte")


def _by_shorter_code(codes: pd.DataFrame, frame: pd.DataFrame) -> pd.DataFrame:
    """The runs that have an exact loss, and those of `codes` by the shorter of their two."""
    shorter = codes.assign(**{LOSS: codes[["chain", LOSS]].min(axis=1)})
    return pd.concat([frame[frame["kind"] == "exact"], shorter])


def _compared(by_code: pd.DataFrame, one: str, other: str, claim: str) -> Iterator[QuestionVerdict]:
    found = gap(by_code, one, other, "exact FLOPs")
    if found is None or not {one, other} & set(by_code.loc[by_code["chain"].notna(), "arm"]):
        return
    estimate = found.estimate(f"{one} less {other}")
    is_more = estimate.value > 0
    words = ("more", "fewer") if other == REFERENCE else ("costs", "saves")
    yield judge(
        f"{claim.format(words[not is_more])} by the shorter of two codes", estimate,
        n_seeds=len(found.by_seed), above=is_more, basis=f"at {flops(found.at)} FLOPs",
    )  # fmt: skip


def codes_table(codes: pd.DataFrame) -> pd.DataFrame:
    """A row per run: its two codes, in bits per byte."""
    columns = ["arm", "size", "seed", "train_flops", LOSS, "chain"]
    return codes[columns].rename(columns={LOSS: "any_order_bound", "chain": "left_to_right"})
