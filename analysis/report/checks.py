"""Checks of a study: doubts about the approaches, hold-out, other conventions, what to run next."""

from __future__ import annotations

import dataclasses

import pandas as pd

from analysis.report import words
from analysis.report.views import Cell, Check, Head, TableView, cell, table_view
from analysis.study import Study
from analysis.style import count, flops, number
from analysis.values import Flag


def checks(study: Study) -> tuple[Check, ...]:
    made = [_doubts(study), _holdout(study)]
    if study.comparison:
        made.append(_sensitivity(study))
    made.append(_next(study))
    return tuple(made)


def _doubts(study: Study) -> Check:
    rows = [
        [Cell(text=arm.name), Cell(text=found.name),
         Cell(text="; ".join(found.doubts) or found.reason)]
        for arm in study.arms.values()
        for found in arm.agreement.approaches
        if found.doubts or found.reason
    ]  # fmt: skip
    text = (
        "These approaches are listed but carry no verdict."
        if rows
        else "No approach is in doubt: each could be fitted, with an interval and without a "
        "disqualifying flag."
    )
    heads = [Head(text="Arm"), Head(text="approach"), Head(text="why it carries no verdict")]
    caption = f"{len(rows)} approaches in doubt"
    return Check(
        title="Approaches in doubt or at odds",
        text=text,
        tables=(table_view(caption, heads, rows),) if rows else (),
        flags=_disagreements(study),
    )


def _disagreements(study: Study) -> tuple[Flag, ...]:
    """Approaches that differ by more than their intervals allow, each pair once."""
    if study.comparison is None:
        return tuple(flag for arm in study.arms.values() for flag in arm.agreement.flags)
    return tuple(
        flag for flag in words.comparison_flags(study) if flag.code == words.PAIR_OF_APPROACHES
    )


def _holdout(study: Study) -> Check:
    tables, missing = [], []
    flags: list[Flag] = []
    for arm in study.arms.values():
        if arm.holdout is None:
            missing.append(f"{arm.name}: {arm.missing.get('holdout', 'not made')}.")
            continue
        heads = [
            Head(text="Law"),
            Head(text="mean error", unit="%", numeric=True),
            Head(text="spread over cuts", unit="%", numeric=True),
            Head(text="parameters", numeric=True),
            Head(text="cuts", numeric=True),
        ]
        rows = [
            [
                Cell(text=str(row["law"])),
                _percent(row["error"]),
                _percent(row["spread"] if row["cuts"] > 1 else None),
                Cell(text=str(row["parameters"])),
                Cell(text=str(row["cuts"])),
            ]
            for _, row in arm.holdout.ranking.iterrows()
        ]
        tables.append(table_view(f"{arm.name}: error on dearer runs than fitted", heads, rows))
        flags += arm.holdout.flags
        missing += [f"{arm.name}: {reason}." for reason in arm.holdout.skipped]
    text = "Each law is fitted to the cheap runs and predicts the dear ones. " + " ".join(missing)
    return Check(
        title="Hold-out in compute", text=text.strip(), tables=tuple(tables), flags=tuple(flags)
    )


def _percent(value: float | None) -> Cell:
    return cell(None if value is None or pd.isna(value) else number(100 * float(value), 2))


def _sensitivity(study: Study) -> Check:
    title = "Under other conventions"
    if study.sensitivity is None:
        return Check(title=title, text=study.missing.get("sensitivity", "Not made."))
    text = (
        "Each verdict again with another count of N or C, another objective, and each excluded "
        "run put back; one change at a time."
    )
    frame = study.sensitivity.frame()
    tables = (_sensitivity_table(frame),) if len(frame) else ()
    return Check(title=title, text=text, tables=tables, flags=study.sensitivity.flags)


def _sensitivity_table(frame: pd.DataFrame) -> TableView:
    rows = []
    for _, row in frame.iterrows():
        if "topic" not in row or pd.isna(row["topic"]):
            rows.append([Cell(text=str(row["change"])), Cell(text="–"), Cell(text="–"),
                         Cell(text="–", small=str(row["reason"]))])  # fmt: skip
            continue
        known = not pd.isna(row["value"])
        small = f"[{number(row['low'])}, {number(row['high'])}]" if known else ""
        claim = str(row["claim"]) or "not established"
        rows.append([
            Cell(text=str(row["change"])), Cell(text=str(row["topic"])),
            Cell(text=number(row["value"]) if known else "–", small=small),
            Cell(text=claim, small="flips" if row["flips"] else ""),
        ])  # fmt: skip
    heads = [Head(text="Change"), Head(text="verdict about"), Head(text="value", numeric=True),
             Head(text="in favour of")]  # fmt: skip
    return table_view("The verdicts after each change", heads, rows)


def _next(study: Study) -> Check:
    tables, reasons = [], []
    flags: list[Flag] = []
    for arm in study.arms.values():
        plan = arm.next_runs
        if plan is None:
            why = arm.missing.get("next_runs", arm.missing.get("fit", "no law was fitted"))
            reasons.append(f"{arm.name}: {why}.")
            continue
        n_head = Head(text="N", unit=plan.columns["n"], numeric=True)
        heads = [*([Head(text="Size")] if "size" in plan.cells else []), n_head,
                 Head(text="D", unit="tokens", numeric=True),
                 Head(text="C", unit="FLOPs", numeric=True),
                 Head(text="s.e. of a then", numeric=True)]  # fmt: skip
        rows = [
            [*([Cell(text=str(row["size"]))] if "size" in plan.cells else []),
             cell(count(row["params"])), cell(count(row["train_tokens"])),
             cell(flops(row["train_flops"])), cell(number(row["standard_error"], 2))]
            for _, row in plan.cells.iterrows()
        ]  # fmt: skip
        caption = (
            f"{arm.name}: standard error of a from {number(plan.standard_error_before, 2)} to "
            f"{number(plan.standard_error_after, 2)} for {flops(plan.spent_flops)} FLOPs"
        )
        tables.append(table_view(caption, heads, rows))
        flags += [
            dataclasses.replace(flag, message=f"{arm.name}: {flag.message}") for flag in plan.flags
        ]
    text = (
        "The cells that would narrow the interval of a most, for as many FLOPs as the dearest "
        "budget took, if the fitted law holds. "
    )
    return Check(
        title="What to run next", text=(text + " ".join(reasons)).strip(), tables=tuple(tables),
        flags=tuple(flags),
    )  # fmt: skip
