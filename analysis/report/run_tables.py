"""Tables of runs: those that were used, the spread over seeds, and those that were not used."""

from __future__ import annotations

from typing import Any

import pandas as pd

from analysis.arm import Arm
from analysis.report.number_tables import bits, bits_kind
from analysis.report.views import Cell, Head, TableView, cell, table_view
from analysis.study import Study
from analysis.style import count, flops, loss_label, loss_unit, number
from analysis.table import Table


def used_table(arm: Arm) -> TableView:
    """Every run behind the fits of one arm, with what its loss has to beat."""
    table = arm.table
    frame = table.frame
    shown = [name for name in (
        "size", "seed", "params_total", "params_non_embedding", "train_tokens", "train_flops",
        "train_flops_6nd",
    ) if name in frame]  # fmt: skip
    has_unigram, has_bits = "unigram_nats" in frame, "bits_per_byte" in frame
    heads = [Head(text="Run"), *(_head(name) for name in shown)]
    heads.append(Head(text="loss", unit=loss_unit(table.yardstick), numeric=True))
    if has_unigram:
        heads.append(Head(text="unigram code", unit="nats per target", numeric=True))
    if has_bits:
        heads.append(Head(text="bits per byte", numeric=True))
    rows = []
    for _, run in frame.iterrows():
        cells = [Cell(text=str(run["run_id"])), *(_value(name, run[name]) for name in shown)]
        cells.append(_loss(run, table))
        if has_unigram:
            cells.append(_unigram(run))
        if has_bits:
            cells.append(_bits(run))
        rows.append(cells)
    caption = f"{arm.name}: {len(frame)} runs in the fits; loss is {loss_label(table.yardstick)}"
    return table_view(caption, heads, rows)


def _head(name: str) -> Head:
    words = {
        "size": Head(text="size"), "seed": Head(text="seed"),
        "params_total": Head(text="N", unit="total", numeric=True),
        "params_non_embedding": Head(text="N", unit="without embeddings", numeric=True),
        "train_tokens": Head(text="D", unit="tokens", numeric=True),
        "train_flops": Head(text="C", unit="FLOPs, exact", numeric=True),
        "train_flops_6nd": Head(text="C", unit="6ND FLOPs", numeric=True),
    }  # fmt: skip
    return words[name]


def _value(name: str, value: Any) -> Cell:
    if pd.isna(value):
        return Cell(text="–")
    if name in ("size", "seed"):
        return Cell(text=str(value) if name == "size" else f"{value:g}")
    return Cell(text=flops(value) if name.startswith("train_flops") else count(value))


def _loss(run: pd.Series, table: Table) -> Cell:
    text = number(float(run[table.columns["loss"]]), 4)
    column = table.columns.get("loss_standard_error")
    if column is None or pd.isna(run[column]):
        return Cell(text=text)
    return Cell(text=f"{text} ± {number(float(run[column]), 2)}")


def _unigram(run: pd.Series) -> Cell:
    if pd.isna(run["unigram_nats"]):
        return Cell(text="–")
    if "loss_nats" not in run or pd.isna(run["loss_nats"]):
        return Cell(text=number(run["unigram_nats"], 4))
    beaten = run["loss_nats"] < run["unigram_nats"]
    return Cell(text=number(run["unigram_nats"], 4), small="beaten" if beaten else "not beaten")


def _bits(run: pd.Series) -> Cell:
    if pd.isna(run["bits_per_byte"]):
        return Cell(text="–")
    kind = run.get("bits_per_byte_kind")
    return Cell(text=bits(run["bits_per_byte"], kind), small=bits_kind(kind))


def seeds_table(table: Table) -> TableView | None:
    """Mean and standard deviation over seeds per cell; None where no cell has two."""
    frame, columns = table.frame, table.columns
    if "seed" not in frame or frame["seed"].nunique() < 2:
        return None
    keys = [name for name in ("group", columns["n"], "budget_flops") if name in frame]
    if "budget_flops" not in keys:
        keys.append(columns["d"])
    rows = []
    for _, runs in frame.groupby(keys, sort=False):
        first, losses = runs.iloc[0], runs[columns["loss"]].to_numpy(float)
        if len(losses) > 1:
            rows.append([
                Cell(text=str(first.get("group", "all runs"))),
                Cell(text=count(first[columns["n"]])),
                Cell(text=flops(first["budget_flops"]) if "budget_flops" in keys
                     else count(first[columns["d"]])),
                Cell(text=str(len(losses))),
                Cell(text=number(losses.mean(), 4)),
                Cell(text=number(losses.std(ddof=1), 2)),
            ])  # fmt: skip
    if not rows:
        return None
    last = "FLOPs" if "budget_flops" in keys else "tokens"
    heads = [
        Head(text="Arm"), Head(text="N", unit=columns["n"], numeric=True),
        Head(text=last, numeric=True),
        Head(text="seeds", numeric=True), Head(text="mean loss", numeric=True),
        Head(text="standard deviation", numeric=True),
    ]  # fmt: skip
    return table_view("Spread over seeds", heads, rows)


def unused_table(study: Study) -> TableView | None:
    """Every cell that is in no fit, with its reason; None where all are used."""
    frame = study.table.excluded
    if frame.empty:
        return None
    rows = [
        [
            Cell(text=str(run["run_id"])),
            _named(run, "group"), _named(run, "size"),
            cell(None if pd.isna(run.get("budget_flops")) else flops(run["budget_flops"])),
            _named(run, "seed"), Cell(text=str(run["reason"])),
        ]
        for _, run in frame.iterrows()
    ]  # fmt: skip
    heads = [Head(text="Cell"), Head(text="arm"), Head(text="size"),
             Head(text="budget", unit="FLOPs", numeric=True), Head(text="seed"),
             Head(text="why it is in no fit")]  # fmt: skip
    return table_view(f"{len(frame)} cells that are in no fit", heads, rows)


def _named(run: pd.Series, name: str) -> Cell:
    value = run.get(name)
    if value is None or pd.isna(value):
        return Cell(text="–")
    return Cell(text=f"{value:g}" if isinstance(value, float) else str(value))
