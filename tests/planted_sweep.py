"""A sweep folder with a planted law: what the commands and the report read, without training.

Both arms follow L = E + A / N^alpha + B / D^beta (Hoffmann et al. 2022, arXiv:2203.15556) with
N = params_total, plus seeded noise. One cell failed, one is pending, one is excluded.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

SIZES = {"25k": (2, 32), "98k": (2, 64), "230k": (3, 80), "442k": (4, 96)}
BUDGETS = (2e12, 8e12, 3.2e13)
LAWS: dict[str, dict[str, float]] = {
    "encoder": {"E": 1.10, "A": 210.0, "B": 940.0, "alpha": 0.42, "beta": 0.40},
    "decoder": {"E": 1.60, "A": 160.0, "B": 700.0, "alpha": 0.40, "beta": 0.40},
}
READINGS = (0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.85, 1.0)
_VOCAB = 512
_OBJECTIVE = {"encoder": "mlm", "decoder": "clm"}


def true_loss(arch: str, params: float, tokens: float) -> float:
    law = LAWS[arch]
    return law["E"] + law["A"] / params ** law["alpha"] + law["B"] / tokens ** law["beta"]


def write_sweep(
    root: Path,
    name: str = "planted",
    *,
    noise: float = 0.003,
    seed: int = 0,
    seeds: int = 1,
    label: str | None = None,
    sizes: Mapping[str, tuple[int, int]] = SIZES,
    budgets: Sequence[float] = BUDGETS,
    readings: Sequence[float] = READINGS,
) -> Path:
    """Writes ROOT/NAME and ROOT/cells; returns the sweep's folder.

    Args:
        noise: standard deviation of log loss.
        seeds: runs per cell, with their own noise.
        sizes: name -> layers and width. budgets: training FLOPs.
        readings: of each curve, as shares of its tokens.
        label: takes the place of the largest size's name, for tests of escaping.
    """
    rng = np.random.default_rng(seed)
    cells = []
    for arch in LAWS:
        for budget in budgets:
            for size, shape in sizes.items():
                for run_seed in range(seeds):
                    record = _record(arch, size, budget, run_seed, rng, noise, shape, readings)
                    cells.append(_cell(record, label if label and size == "442k" else size, budget))
                    _write(root, record)
    _write_troubles(root, cells)
    folder = root / name
    folder.mkdir(parents=True)
    listing = {"schema_version": 1, "sweep": name, "cells": cells}
    (folder / "cells.json").write_text(json.dumps(listing), encoding="utf-8")
    (folder / "sweep.yaml").write_text(
        f"name: {name}\nmethod: grid\nparameters:\n  arch: {{values: [encoder, decoder]}}\n"
        "  train_flops: {values: [2.0e+12, 8.0e+12, 3.2e+13]}\n",
        encoding="utf-8",
    )
    return folder


def _write_troubles(root: Path, cells: list[dict[str, Any]]) -> None:
    """One diverged cell, one without a record, one that the sweep excludes."""
    rng = np.random.default_rng(1)
    failed = _record("encoder", "25k", 1.3e14, 0, rng, 0.0)
    failed |= {"status": "diverged", "reason": "loss is NaN at step 412", "losses": {}, "curve": []}
    failed |= {"bits_per_byte": None, "bits_per_byte_kind": None}
    failed |= {"missing": {"bits_per_byte": "the run diverged"}}
    _write(root, failed)
    cells.append(_cell(failed, "25k", 1.3e14))
    cells.append(_cell(_record("decoder", "25k", 1.3e14, 0, rng, 0.0), "25k", 1.3e14))
    cells.append({
        "run_id": None, "depends_on": None, "spec": None,
        "labels": {"size": "442k", "train_flops": 2e11, "arch": "decoder", "seed": 0},
        "excluded": "0.01 tokens per parameter; the sweep asks for at least 0.1",
    })  # fmt: skip


def _cell(record: dict[str, Any], size: str, budget: float) -> dict[str, Any]:
    spec = record["spec"]
    labels = {"size": size, "train_flops": budget, "arch": spec["arch"], "seed": spec["seed"]}
    return {"run_id": record["run_id"], "labels": labels, "depends_on": None, "excluded": None,
            "spec": spec}  # fmt: skip


def _write(root: Path, record: dict[str, Any]) -> None:
    folder = root / "cells" / record["run_id"]
    folder.mkdir(parents=True)
    (folder / "record.json").write_text(json.dumps(record), encoding="utf-8")


def _record(
    arch: str,
    size: str,
    budget: float,
    seed: int,
    rng: np.random.Generator,
    noise: float,
    shape: tuple[int, int] | None = None,
    readings: Sequence[float] = READINGS,
) -> dict[str, Any]:
    layers, width = shape or SIZES[size]
    blocks, embedding = 12 * layers * width**2, _VOCAB * width
    params = blocks + embedding
    flops_per_token = 6.0 * params
    tokens = round(budget / flops_per_token / 1024) * 1024
    loss = true_loss(arch, params, tokens) * float(np.exp(noise * rng.standard_normal()))
    objective = _OBJECTIVE[arch]
    bits = loss * (1.35 if objective == "mlm" else 1.0) * 0.62
    return {
        "run_id": f"{arch}-{size}-{budget:.0e}-{seed}",
        "spec": {
            "arch": arch, "objective": objective, "corpus": "stdlib_text",
            "corpus_fingerprint": "c0ffee1234567890", "tokenizer": "bpe",
            "tokenizer_fingerprint": "feedbeef12345678", "vocab_size": _VOCAB,
            "n_layer": layers, "d_model": width, "n_head": 2, "d_ff": 4 * width, "seq_len": 128,
            "train_tokens": tokens, "batch_tokens": 1024, "warmup_tokens": 1024,
            "cooldown_tokens": 1024, "peak_lr": 0.004, "seed": seed, "mask_rate": 0.15,
        },
        "status": "done", "reason": None,
        "params": {"token_embedding": embedding, "blocks": blocks},
        "params_total": params, "params_non_embedding": blocks,
        "train_flops_per_token": flops_per_token, "train_flops": flops_per_token * tokens,
        "train_flops_6nd": 6.0 * blocks * tokens,
        "tokens_seen": tokens, "tokens_predicted": round(0.15 * tokens), "tokens_unique": tokens,
        "losses": {objective: {"nats_per_target": loss, "targets": 19000,
                               "standard_error": 0.004, "unigram_nats_per_target": 6.1}},
        "bits_per_byte": bits,
        "bits_per_byte_kind": "upper_bound" if objective == "mlm" else "exact",
        "bits_per_byte_standard_error": 0.002,
        "curve": [
            {"tokens": round(tokens * share), "train_flops": flops_per_token * tokens * share,
             "split": "validation", "term": objective,
             "nats_per_target": loss + 0.9 * (1 - share) ** 2 / (share + 0.08),
             "learning_rate": 0.004 if share < 1 else 4e-6}
            for share in readings
        ],
        "provenance": {
            "wall_seconds": 31.5, "train_seconds": 27.0, "spent_flops": flops_per_token * tokens,
            "forked_from": None, "attempts": 1, "device": "cpu (2 cores)",
            "versions": {"torch": "2.13.0", "numpy": "2.4.6"}, "git_commit": "0123abc",
            "finished_at": "2026-01-01T00:00:00+00:00",
        },
        "yardsticks": {objective: "mlm@0.15" if objective == "mlm" else objective},
        "missing": {}, "schema_version": 1,
    }  # fmt: skip
