"""From GPT to BERT one change at a time: losses of arms at equal compute, tokens or targets.

Losses are bits per byte under a normalised distribution, so all arms stand on one axis; those of
arms that predict hidden tokens are upper bounds. Everything is compared seed by seed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.errors import AnalysisError
from analysis.questions.table import QuestionTable
from analysis.seeds import PAIRED, seed_mean
from analysis.values import Estimate

LOSS = "bits_per_byte"
REFERENCE = "clm"

# Each change on the way from GPT to BERT: what changes, the arm with it, the arm without it.
STEPS: tuple[tuple[str, str, str], ...] = (
    ("share of tokens that give a loss", "clm-15", "clm"),
    ("corruption of the input", "causal-mlm-15", "clm-15"),
    ("direction of attention", "mlm-15", "causal-mlm-15"),
)

# Of the bits of a code by letter frequencies: a run that needs more has learned little else.
PLATEAU_SHARE = 0.9

# What two arms may have in common -> the column in which they have it.
MATCHES: dict[str, str] = {
    "exact FLOPs": "train_flops",
    "FLOPs by 6ND": "train_flops_6nd",
    "tokens": "train_tokens",
    "predicted targets": "tokens_predicted",
}
# Of these the best size at each budget is taken; at the others sizes are compared one by one.
_COMPUTE = frozenset({"exact FLOPs", "FLOPs by 6ND"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Gap:
    """How much more one arm loses than another, in bits per byte.

    Attributes:
        by_seed: seed -> the gap, over the sizes where there are several.
        at: what both had, such as 5e11 FLOPs; the mean over sizes and seeds.
    """

    by_seed: Mapping[int, float]
    at: float

    def estimate(self, name: str) -> Estimate:
        """Its mean over seeds, which both arms have in common."""
        gaps = list(self.by_seed.values())
        return seed_mean(gaps, name=name, unit="bits/byte", method=PAIRED)


def runs_frame(table: QuestionTable) -> pd.DataFrame:
    """A row per run that has bits per byte: arm, size, seed, what it took and what it reached."""
    rows = []
    for run_id, run in table.runs.items():
        labels = table.labels.get(run_id, {})
        if run[LOSS] is None:
            continue
        rows.append({
            "run_id": run_id, "arm": labels.get("arm", run["spec"]["arch"]),
            "size": labels.get("size"), "seed": run["spec"].get("seed", 0),
            "budget_flops": float(labels.get("train_flops", run["train_flops"])),
            "train_flops": run["train_flops"], "train_flops_6nd": run["train_flops_6nd"],
            "train_tokens": run["tokens_seen"], "tokens_predicted": run["tokens_predicted"],
            LOSS: run[LOSS], "kind": run["bits_per_byte_kind"], "unigram": _unigram(run),
        })  # fmt: skip
    if not rows:
        raise AnalysisError(f"{table.source} holds no finished run with bits per byte")
    return pd.DataFrame(rows)


def entropy_of(table: QuestionTable) -> float | None:
    """Bits per byte of the language itself, where a run knows them; all are of one text."""
    known = [
        loss["optimal_nats_per_target"] / math.log(2)
        for run in table.runs.values()
        if run["spec"]["tokenizer"] == "bytes" and run["spec"].get("target_share", 1.0) == 1.0
        for loss in [run["losses"].get(REFERENCE, {})]
        if loss.get("optimal_nats_per_target") is not None
    ]
    return float(np.median(known)) if known else None


def is_bound(frame: pd.DataFrame, arm: str) -> bool:
    """Whether the losses of an arm are upper bounds."""
    return "upper_bound" in set(frame.loc[frame["arm"] == arm, "kind"])


def _unigram(run: Mapping[str, Any]) -> float:
    """Bits per byte of a code by token frequencies; not a number where tokens are not bytes."""
    if run["spec"]["tokenizer"] != "bytes":
        return math.nan
    nats = [loss.get("unigram_nats_per_target") for loss in run["losses"].values()]
    return next((n / math.log(2) for n in nats if n is not None), math.nan)


def plateau_notes(frame: pd.DataFrame) -> list[str]:
    """Which arms have runs that know little more than how frequent each byte is."""
    notes = []
    for arm, runs in frame.groupby("arm", sort=False):
        is_near = runs[LOSS] > PLATEAU_SHARE * runs["unigram"]
        if is_near.any():
            notes.append(
                f"{arm}: {int(is_near.sum())} of {len(runs)} runs need over {PLATEAU_SHARE:.0%} of "
                f"the {runs['unigram'].median():.2f} bits per byte of a code by letter frequencies "
                "(the plateau where a masked model starts): they say when it is left, and little "
                "of what the arm can reach"
            )
    return notes


def frontier_points(frame: pd.DataFrame, match: str = "exact FLOPs") -> pd.DataFrame:
    """The best size of each arm, seed and budget: columns arm, seed, compute, loss, size."""
    best = frame.loc[frame.groupby(["arm", "seed", "budget_flops"])[LOSS].idxmin()]
    points = best.assign(compute=best[MATCHES[match]], loss=best[LOSS])
    return points[["arm", "seed", "compute", "loss", "size"]].sort_values(
        ["arm", "seed", "compute"], ignore_index=True
    )


def gap(frame: pd.DataFrame, one: str, other: str, match: str) -> Gap | None:
    """Loss of `one` less that of `other` at the most that both have of `match`.

    None where the runs of the two have no range in common, in which nothing is extrapolated.
    """
    found: dict[int, list[tuple[float, float]]] = {}
    for seed, curves in _curves(frame, one, other, match):
        if (value := _gap_of_curves(*curves)) is not None:
            found.setdefault(seed, []).append(value)
    if not found:
        return None
    return Gap(
        by_seed={seed: float(np.mean([g for g, _ in values])) for seed, values in found.items()},
        at=float(np.mean([x for values in found.values() for _, x in values])),
    )


def _curves(
    frame: pd.DataFrame, one: str, other: str, match: str
) -> Iterator[tuple[int, tuple[np.ndarray, np.ndarray]]]:
    """Per seed (and size, unless sizes compete): the two curves [points, (x, loss)]."""
    pair = frame[frame["arm"].isin([one, other])]
    if match in _COMPUTE:
        points = frontier_points(pair, match).assign(size="best")
    else:
        points = pair.assign(compute=pair[MATCHES[match]], loss=pair[LOSS])
    key: Any
    for key, part in points.groupby(["seed", "size"]):
        curves = tuple(
            part.loc[part["arm"] == arm, ["compute", "loss"]].sort_values("compute").to_numpy()
            for arm in (one, other)
        )
        if all(len(curve) for curve in curves):
            yield int(key[0]), (curves[0], curves[1])


def _gap_of_curves(one: np.ndarray, other: np.ndarray) -> tuple[float, float] | None:
    at = min(one[-1, 0], other[-1, 0])
    slack = 1 + 1e-3  # budgets are met to a batch
    if at * slack < max(one[0, 0], other[0, 0]):
        return None
    return _read(one, at) - _read(other, at), at


def _read(curve: np.ndarray, at: float) -> float:
    """The loss at `at`, interpolated on logarithms of both."""
    return float(np.exp(np.interp(np.log(at), np.log(curve[:, 0]), np.log(curve[:, 1]))))


@dataclass(frozen=True, kw_only=True, slots=True)
class Multiple:
    """How many times the compute of the reference an arm needs for the same loss, for one seed.

    Attributes:
        flops: what the arm had. value: R.
        bound: `lower` where the reference is better already with the least that it had, so that R
            is larger than the value; `upper` the other way round; empty where R is interpolated.
    """

    arm: str
    seed: int
    flops: float
    value: float
    bound: str


def multiples(frame: pd.DataFrame, match: str = "exact FLOPs") -> list[Multiple]:
    """R of every arm at each of its budgets, from the frontiers of the same seed."""
    points = frontier_points(frame, match)
    found = []
    key: Any
    for key, part in points[points["arm"] != REFERENCE].groupby(["arm", "seed"]):
        arm, seed = key
        mask = (points["arm"] == REFERENCE) & (points["seed"] == seed)
        reference = points.loc[mask, ["compute", "loss"]].to_numpy()
        if not len(reference):
            continue
        for flops, loss in part[["compute", "loss"]].to_numpy():
            equal, bound = _equal_loss(reference, loss)
            found.append(
                Multiple(arm=arm, seed=int(seed), flops=flops, value=flops / equal, bound=bound)
            )
    return found


def _equal_loss(reference: np.ndarray, loss: float) -> tuple[float, str]:
    """The reference's compute at `loss`, or the end of its runs that bounds it."""
    # A frontier never rises: more compute than needed can be left unspent.
    losses = np.minimum.accumulate(reference[:, 1])
    if loss > losses[0]:
        return float(reference[0, 0]), "lower"
    if loss < losses[-1]:
        return float(reference[-1, 0]), "upper"
    log_c = np.interp(-np.log(loss), -np.log(losses), np.log(reference[:, 0]))
    return float(np.exp(log_c)), ""


def slopes(points: pd.DataFrame, x: str, y: str) -> dict[int, float]:
    """seed -> slope of log y over log x by least squares, for the seeds with two points or more."""
    found = {}
    seed: Any
    for seed, part in points.groupby("seed"):
        if part[x].nunique() > 1:
            found[int(seed)] = float(np.polyfit(np.log(part[x]), np.log(part[y]), 1)[0])
    return found
