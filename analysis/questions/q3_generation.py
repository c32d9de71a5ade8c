"""Question 3: can BERT generate, and why is GPT used for that?

What causal and masked models of the same size and training FLOPs write of a language whose
probabilities are known: how much of it is valid, how likely it is, and what a valid sentence
costs. A masked model is given the sampler that does best for it, chosen on the same seeds, which
favours it; a verdict for GPT is the safer for it.

Protocol and published figures: docs/questions.md, section 3.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.errors import AnalysisError
from analysis.plots.canvas import Panel, log_x, points, stack
from analysis.questions.answer import Answer, QuestionVerdict, judge
from analysis.questions.table import QuestionTable
from analysis.seeds import paired_difference, seed_mean
from analysis.style import Mark, arm_marks, mark
from analysis.values import Estimate

QUESTION = "Can BERT generate, and why is GPT used for that?"
CAUSAL = "ancestral"

# Conventions of "better": column, larger is better, and its unit.
VALID, NOISY, DOCUMENTS = "valid_sentences", "noisy_log_prob_nats", "valid_documents"
QUALITIES: dict[str, str] = {
    VALID: "share of sentences", NOISY: "nats per token", DOCUMENTS: "share of documents",
}  # fmt: skip
COSTS = ("flops_per_token", "flops_per_valid_sentence", "forward_passes_per_token")
_KEYS = ["size", "params_non_embedding", "arm", "sampler"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Writer:
    """An arm with a sampler, at one size: its values by seed."""

    size: str
    arm: str
    sampler: str
    rows: pd.DataFrame

    def by_seed(self, column: str) -> dict[int, float]:
        found = self.rows.dropna(subset=[column])
        return {int(s): float(v) for s, v in zip(found["seed"], found[column], strict=True)}

    def mean(self, column: str) -> float:
        return float(self.rows[column].mean())

    @property
    def name(self) -> str:
        return f"{self.arm}, {self.sampler}"


def answer(table: QuestionTable) -> Answer:
    """Verdicts, tables and figures; raises AnalysisError where no text was measured by truth."""
    frame = _frame(table)
    free = frame[frame["given"] == "nothing"]
    writers = [
        Writer(size=str(size), arm=str(arm), sampler=str(sampler), rows=rows)
        for (size, _, arm, sampler), rows in free.sort_values("params_non_embedding").groupby(
            _KEYS, sort=False
        )
    ]
    sizes = list(dict.fromkeys(writer.size for writer in writers))
    verdicts = [v for size in sizes for v in _of_size([w for w in writers if w.size == size])]
    verdicts += _of_samplers(writers)
    return Answer(
        question=QUESTION,
        verdicts=tuple(verdicts),
        tables={"writers": _means(free), "infilling": _means(frame[frame["given"] != "nothing"])},
        figures={"frontier": _frontier(writers, sizes), "validity": (_validity(writers),)},
        notes=(
            "a grammar and small models: nothing is said of natural language",
            "GPT-2 perplexity of samples from BERT-base: Gibbs 314.7, Metropolis-Hastings 108.1 at "
            "temperature 1; 78.0 and 77.4 at 0.5 with at most 9 % novel moves (Goyal et al. 2022, "
            "arXiv:2106.02736)",
            "self-BLEU: BERT-base 10.06, GPT 40.02 (Wang & Cho 2019, arXiv:1902.04094)",
        ),
        excluded=table.excluded,
    )


def _frame(table: QuestionTable) -> pd.DataFrame:
    """A row per evaluation with the columns of `QUALITIES`, of `COSTS`, and what was done."""
    frame = table.frame("generation")
    if f"written.truth.{VALID}" not in frame:
        raise AnalysisError(
            f"{table.source} holds no text of a grammar, and only there is the truth known; "
            "`scaling run q3_generation` makes such a study"
        )
    found = frame[["seed", "arm", "size", "params_non_embedding", "train_flops"]].copy()
    found["given"] = frame["option_given"]
    found["sampler"] = [_label(row) for row in frame.to_dict("records")]
    for name in QUALITIES:
        found[name] = frame[f"written.truth.{name}"]
        found[f"real_{name}"] = frame[f"real.truth.{name}"]
    found["kl_nats"] = frame.get("written.truth.kl_nats", np.nan)
    for name in ("unigram_entropy_nats", "self_bleu_4", "distinct_4", "repetition_4"):
        found[name] = frame[f"written.diversity.{name}"]
        found[f"real_{name}"] = frame[f"real.diversity.{name}"]
    found["novel_share"] = frame.get("moves.novel_share", np.nan)
    for name in COSTS:
        found[name] = pd.to_numeric(frame[f"cost.{name}"])
    found["seconds_per_token"] = frame["cost.seconds_per_token"]
    found["log10_flops_per_token"] = np.log10(found["flops_per_token"])
    found["log10_flops_per_valid"] = np.log10(found["flops_per_valid_sentence"])
    return found


def _label(row: Mapping[Any, Any]) -> str:
    """The sampler and what was set otherwise than by default."""
    label = str(row["sampler"])
    for option, shown in (("steps", "{:g} steps"), ("sweeps", "{:g} sweeps"),
                          ("candidates", "{:g} candidates"), ("top_k", "top {:g}"),
                          ("top_p", "top p {:g}")):  # fmt: skip
        value = row.get(f"option_{option}")
        if isinstance(value, int | float) and not math.isnan(value):
            label += " " + shown.format(value)
    temperature = float(str(row["option_temperature"]))
    return label if temperature == 1 else f"{label} T={temperature:g}"


def _of_size(writers: Sequence[Writer]) -> list[QuestionVerdict]:
    """GPT against the best that any masked model does at this size: quality, then cost."""
    causal = next((w for w in writers if w.sampler == CAUSAL), None)
    masked = [w for w in writers if not w.sampler.startswith(CAUSAL)]
    if causal is None or not masked:
        return []
    size = causal.size

    def gap(column: str) -> Estimate | None:
        best = max(masked, key=lambda w: w.mean(column))
        return paired_difference(
            causal.by_seed(column), best.by_seed(column),
            name=f"{column} of {causal.name} less {best.name}", unit=QUALITIES[column],
        )  # fmt: skip

    verdicts = []
    estimate = gap(VALID)
    if estimate is not None:
        verdicts.append(
            judge(
                f"at {size} GPT writes more valid sentences than any sampler of a masked model",
                estimate, n_seeds=len(causal.rows),
                flips=_flips(estimate, {name: gap(name) for name in (NOISY, DOCUMENTS)}),
                basis="paired seeds, equal training FLOPs",
            )
        )  # fmt: skip
    priced = [w for w in masked if w.rows["log10_flops_per_valid"].notna().all()]
    if priced:
        cheapest = min(priced, key=lambda w: w.mean("log10_flops_per_valid"))
        cost = paired_difference(
            cheapest.by_seed("log10_flops_per_valid"), causal.by_seed("log10_flops_per_valid"),
            name=f"FLOPs per valid sentence, {cheapest.name} over {causal.name},", unit="log10",
        )  # fmt: skip
        if cost is not None:
            verdicts.append(
                judge(f"at {size} a valid sentence costs a masked model more FLOPs than GPT",
                      cost, n_seeds=len(causal.rows), basis="paired seeds, the cheapest sampler")
            )  # fmt: skip
    return verdicts


def _of_samplers(writers: Sequence[Writer]) -> list[QuestionVerdict]:
    """What more passes, acceptance by energy, and training at every rate buy a masked model."""
    arms = {w.arm for w in writers if not w.sampler.startswith(CAUSAL)}
    compared: list[tuple[str, Callable[[Writer], bool], Callable[[Writer], bool]]] = []
    for arm in sorted(arms):
        for one, other, claim in (
            ("gibbs", "any_order", "Gibbs sweeps write more valid sentences than one fill in "
             "any order"),
            ("metropolis_hastings", "gibbs", "Metropolis-Hastings writes more valid sentences "
             "than Gibbs"),
            ("left_to_right", "any_order", "left to right writes more valid sentences than any "
             "order"),
        ):  # fmt: skip
            compared.append((f"{arm}: {claim}", partial(_is, arm, one), partial(_is, arm, other)))
    if {"diffusion", "mlm-15"} <= arms:
        compared.append(
            ("training at every rate (diffusion) writes more valid sentences in any order than "
             "training at 15 %", partial(_is, "diffusion", "any_order"),
             partial(_is, "mlm-15", "any_order"))
        )  # fmt: skip
    found = []
    for claim, one_of, other_of in compared:
        estimates = {name: _over_sizes(writers, one_of, other_of, name) for name in (VALID, NOISY)}
        estimate, n_seeds = estimates[VALID]
        if estimate is not None:
            flips = _flips(estimate, {NOISY: estimates[NOISY][0]})
            costs, _ = _over_sizes(writers, one_of, other_of, "log10_flops_per_token")
            times = f", {10**costs.value:.2g} times the FLOPs per token" if costs else ""
            found.append(
                judge(claim, estimate, n_seeds=n_seeds, flips=flips,
                      basis=f"paired seeds, mean over sizes{times}")
            )  # fmt: skip
    return found


def _is(arm: str, sampler: str, writer: Writer) -> bool:
    """Whether it is that sampler at temperature 1, with whatever steps or sweeps it was given."""
    is_plain = "T=" not in writer.sampler and "steps" not in writer.sampler
    return is_plain and writer.arm == arm and writer.sampler.split(" ")[0] == sampler


def _over_sizes(
    writers: Sequence[Writer], one_of: Callable[[Writer], bool],
    other_of: Callable[[Writer], bool], column: str,
) -> tuple[Estimate | None, int]:  # fmt: skip
    """The difference seed by seed, averaged over the sizes that have both; and the seeds."""
    per_size = []
    for one in filter(one_of, writers):
        for other in filter(other_of, writers):
            if one.size == other.size:
                pair = one.by_seed(column), other.by_seed(column)
                per_size.append({s: pair[0][s] - pair[1][s] for s in pair[0].keys() & pair[1]})
    seeds = sorted(set.intersection(*(set(d) for d in per_size))) if per_size else []
    if not seeds:
        return None, 0
    values = [float(np.mean([d[seed] for d in per_size])) for seed in seeds]
    name = f"difference of {column}"
    return seed_mean(values, name=name, unit=QUALITIES.get(column, "log10")), len(seeds)


def _flips(main: Estimate, others: Mapping[str, Estimate | None]) -> tuple[str, ...]:
    """Conventions by which the claim is established or not otherwise than by the main one."""
    said = _is_above(main)
    return tuple(
        f"{name} {estimate.value:+.3g} {QUALITIES[name]}"
        for name, estimate in others.items()
        if estimate is not None and _is_above(estimate) != said
    )


def _is_above(estimate: Estimate) -> bool:
    return estimate.interval is not None and estimate.interval.low > 0


def _means(frame: pd.DataFrame) -> pd.DataFrame:
    """Means over seeds, with the standard deviation of the headline; no seconds, which vary."""
    keys = ["given", *_KEYS]
    numbers = [name for name in frame.columns if name not in (*keys, "seed", "seconds_per_token")]
    grouped = frame.sort_values(["params_non_embedding", "arm", "sampler"]).groupby(
        keys, sort=False
    )
    means = grouped[numbers].mean()
    means.insert(0, "n_seeds", grouped["seed"].nunique())
    means.insert(1, f"{VALID}_sd", grouped[VALID].std())
    return means.reset_index()


def _frontier(writers: Sequence[Writer], sizes: Sequence[str]) -> tuple[Panel, ...]:
    return tuple(
        Panel(
            name=f"frontier-{size}",
            title=f"{size}: quality against cost",
            alt=f"Share of valid sentences over FLOPs per token for each sampler at size {size}.",
            draw=partial(
                _draw_frontier,
                [w for w in writers if w.size == size],
                arm_marks(w.arm for w in writers),
                list(dict.fromkeys(w.sampler for w in writers)),
            ),
            inches=(4.2, 4.0),
        )
        for size in sizes
    )


def _draw_frontier(
    writers: Sequence[Writer], arms: Mapping[str, Mark], names: Sequence[str], ax: Axes
) -> pd.DataFrame:
    """Arms and samplers look the same, and have the same numbers, at every size."""
    samplers = {name: i for i, name in enumerate(names)}
    drawn = []
    for w in writers:
        x, y = w.mean("flops_per_token"), w.mean(VALID)
        ax.plot(x, y, arms[w.arm].marker, color=arms[w.arm].colour)
        ax.annotate(str(samplers[w.sampler] + 1), (x, y), fontsize=6.5,
                    xytext=(4, 2), textcoords="offset points")  # fmt: skip
        values = list(w.by_seed(VALID).values())
        drawn.append(points(w.arm, w.sampler, [x], [y], low=min(values), high=max(values)))
    for arm, its in arms.items():
        ax.plot([], [], its.marker, color=its.colour, label=arm)
    log_x(ax, "forward FLOPs per token", [w.mean("flops_per_token") for w in writers])
    ax.set_ylabel("share of valid sentences")
    ax.set_ylim(-0.03, 1.05)
    ax.legend(loc="center right")
    named = [f"{i + 1} {name}" for name, i in samplers.items()]
    ax.text(0.0, -0.22, "\n".join(", ".join(named[i : i + 3]) for i in range(0, len(named), 3)),
            transform=ax.transAxes, fontsize=6.5, va="top")  # fmt: skip
    return stack(drawn)


def _validity(writers: Sequence[Writer]) -> Panel:
    return Panel(
        name="validity",
        title="Valid sentences by sampler and size",
        alt="Share of valid sentences over parameters, a line for each arm and sampler.",
        draw=partial(_draw_validity, writers),
        inches=(6.4, 4.4),
    )


def _draw_validity(writers: Sequence[Writer], ax: Axes) -> pd.DataFrame:
    drawn = []
    lines = dict.fromkeys((w.arm, w.sampler) for w in writers if "T=" not in w.sampler)
    for index, (arm, sampler) in enumerate(lines):
        own = [w for w in writers if (w.arm, w.sampler) == (arm, sampler)]
        x = [w.mean("params_non_embedding") for w in own]
        y = [w.mean(VALID) for w in own]
        low, high = ([f(w.by_seed(VALID).values()) for w in own] for f in (min, max))
        its = mark(index)
        ax.plot(x, y, marker=its.marker, color=its.colour, linestyle=its.line,
                label=f"{arm}, {sampler}")  # fmt: skip
        ax.fill_between(x, low, high, color=its.colour, alpha=0.12, linewidth=0)
        drawn.append(points(arm, sampler, x, y, low=low, high=high))
    log_x(ax, "parameters without embeddings", [w.mean("params_non_embedding") for w in writers])
    ax.set_ylabel("share of valid sentences")
    ax.set_ylim(-0.03, 1.05)
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return stack(drawn)
