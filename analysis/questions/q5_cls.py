"""Question 5: why are the [CLS] vectors of any two sentences so similar, and what cures it?

Each verdict is an effect over seeds at the largest size and horizon of the study; the conventions
under which it would be another are its other sizes and horizons.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.difference import signed
from analysis.questions.answer import Answer, QuestionVerdict, judge
from analysis.questions.arm_ladder import LOSS, plateau_notes, runs_frame
from analysis.questions.q5_figures import make_figures
from analysis.questions.table import Evaluation, QuestionTable
from analysis.seeds import paired_difference, seed_mean
from analysis.values import Estimate

MEASUREMENT = "cls_geometry"
QUESTION = "Why are the [CLS] vectors of any two sentences so similar?"
CURES = (
    "raw", "centred", "standardised", "whitened", "without_1_direction", "without_3_directions",
)  # fmt: skip
_KEYS = ("arm", "size", "params_non_embedding", "train_tokens", "layer", "pooling")

NOTES = (
    "published: cosine of random words, BERT-base layer 11 0.675, layer 12 0.477, GPT-2 layer 11 "
    "0.758, layer 12 0.978 (Ethayarajh 2019, figure 1)",
    "published: STS Spearman x 100, mean of 7 tasks, BERT-base [CLS] 29.19, mean pooling 54.81, "
    "GloVe 61.32, SBERT-base 74.89 (Reimers & Gurevych 2019, table 1)",
    "passages are of one length and come from different held-out documents; layer 0 is the "
    "embeddings, the last layer what the head reads",
    "the cures take their statistics from the vectors that they are applied to",
)


def answer(table: QuestionTable) -> Answer:
    """The verdicts, tables and figures of question 5.

    Raises:
        AnalysisError: the table holds no finished evaluation by `cls_geometry`.
    """
    evaluations = table.of(MEASUREMENT)
    frame = long_frame(evaluations)
    view = View(frame)
    return Answer(
        question=QUESTION,
        verdicts=tuple(_verdicts(view)),
        tables={"geometry": frame, "over_seeds": over_seeds(frame)},
        figures=make_figures(frame, histograms(evaluations), view.size, view.tokens),
        notes=(
            *NOTES,
            f"verdicts at size {view.size} and {view.tokens} tokens",
            *_what_was_learned(evaluations, view),
            *_on_the_plateau(table, view),
        ),
        excluded=table.excluded,
    )


def _what_was_learned(evaluations: tuple[Evaluation, ...], view: View) -> Iterator[str]:
    """Losses of the models of the verdicts: what has learned little says little."""
    losses: dict[str, list[str]] = {}
    for one in evaluations:
        run = one.columns()
        if (run["size"], run["train_tokens"], run["seed"]) != (view.size, view.tokens, view.seed):
            continue
        parts = []
        for term, loss in one.run["losses"].items():
            unigram = loss.get("unigram_nats_per_target")
            beside = f" (unigram {unigram:.3f})" if unigram is not None else ""
            parts.append(f"{term} {loss['nats_per_target']:.3f}{beside}")
        losses[str(run["arm"])] = parts
    for arm, parts in sorted(losses.items()):
        yield f"{arm} reached {', '.join(parts)} nats per target at seed {view.seed}"


def _on_the_plateau(table: QuestionTable, view: View) -> list[str]:
    """By bits per byte: the MLM loss of BERT's corruption falls below that of letter frequencies
    by copying the tokens that are shown, without any context."""
    if all(run[LOSS] is None for run in table.runs.values()):
        return []
    runs = runs_frame(table)
    return plateau_notes(runs[(runs["size"] == view.size) & (runs["train_tokens"] == view.tokens)])


def long_frame(evaluations: tuple[Evaluation, ...]) -> pd.DataFrame:
    """A row per evaluation, layer and pooling; an untrained model has 0 training tokens."""
    rows = []
    for one in evaluations:
        run = one.columns()
        last = max(map(int, one.values["layers"]))
        for layer, by_pooling in one.values["layers"].items():
            for pooling, found in by_pooling.items():
                if found is None:
                    continue
                rows.append(
                    {name: run[name] for name in _KEYS[:4]}
                    | {"seed": run["seed"], "layer": int(layer), "is_last": int(layer) == last,
                       "pooling": pooling}
                    | dict(_flat(found))
                )  # fmt: skip
    frame = pd.DataFrame(rows)
    return frame.sort_values([*_KEYS, "seed"], kind="stable", ignore_index=True)


def over_seeds(frame: pd.DataFrame) -> pd.DataFrame:
    """Means over seeds with the ends of their 95 % intervals, for each number of the long frame."""
    numbers = [name for name in frame if name not in (*_KEYS, "seed", "is_last")]
    rows = []
    for key, group in frame.groupby(list(_KEYS), sort=True):
        row: dict[str, Any] = dict(zip(_KEYS, key, strict=True)) | {"seeds": len(group)}
        for name in numbers:
            values = group[name].dropna().tolist()
            if not values:
                continue
            estimate = seed_mean(values, name=str(name), unit="")
            row[str(name)] = estimate.value
            if estimate.interval is not None:
                row[f"{name}_low"] = estimate.interval.low
                row[f"{name}_high"] = estimate.interval.high
        rows.append(row)
    return pd.DataFrame(rows)


def histograms(evaluations: tuple[Evaluation, ...]) -> pd.DataFrame:
    """Counts of the cosines of passages in the last layer, summed over seeds, per bin."""
    rows = []
    for one in evaluations:
        run = one.columns()
        layers = one.values["layers"]
        for pooling, found in layers[str(max(map(int, layers)))].items():
            for cure in ("raw", "centred"):
                if found is None or found[cure] is None:
                    continue
                counts = found[cure]["histogram"]
                for index, count in enumerate(counts):
                    rows.append(
                        {name: run[name] for name in ("arm", "size", "train_tokens")}
                        | {"pooling": pooling, "cure": cure, "pairs": count}
                        | {"low": -1 + 2 * index / len(counts), "width": 2 / len(counts)}
                    )
    keys = ["arm", "size", "train_tokens", "pooling", "cure", "low", "width"]
    return pd.DataFrame(rows).groupby(keys, sort=True)[["pairs"]].sum().reset_index()


@dataclass(frozen=True, slots=True)
class View:
    """The last layer of the models of one study, by arm, size, horizon and pooling."""

    frame: pd.DataFrame

    @property
    def size(self) -> str:
        by_params = self.frame.sort_values("params_non_embedding", kind="stable")
        return str(by_params["size"].iloc[-1])

    @property
    def tokens(self) -> int:
        return int(self.frame["train_tokens"].max())

    @property
    def seed(self) -> int:
        return int(self.frame["seed"].min())

    def values(
        self, column: str, *, arm: str, size: str, tokens: int, pooling: str = "cls"
    ) -> dict[int, float]:
        """seed -> value."""
        rows = self.frame[
            self.frame["is_last"]
            & (self.frame["arm"] == arm)
            & (self.frame["size"] == size)
            & (self.frame["train_tokens"] == tokens)
            & (self.frame["pooling"] == pooling)
        ]
        if column not in rows:
            return {}
        found = rows[["seed", column]].dropna()
        return dict(zip(found["seed"].astype(int), found[column].astype(float), strict=True))

    def conventions(self) -> Iterator[tuple[str, int]]:
        """Each size and horizon, those of the verdicts first."""
        first = (self.size, self.tokens)
        yield first
        order = self.frame.sort_values("params_non_embedding")
        horizons = sorted(int(t) for t in set(self.frame["train_tokens"]) if t)
        for pair in itertools.product(dict.fromkeys(map(str, order["size"])), horizons):
            if pair != first:
                yield pair


Effect = Callable[[str, int], tuple[Estimate | None, int]]


def _verdicts(view: View) -> Iterator[QuestionVerdict]:
    arms = set(view.frame["arm"])
    for arm in sorted(arms - {"clm"}):
        yield from _judged(
            view,
            f"{arm}: the [CLS] vectors of an untrained model are near parallel, cosine above 0.9",
            lambda size, tokens, arm=arm: _mean(view, "raw.cosine_mean", arm, size, 0),  # type: ignore[misc]
            null=0.9,
        )
        yield from _judged(
            view,
            f"{arm}: training makes [CLS] vectors less similar",
            lambda size, tokens, arm=arm: _paired(  # type: ignore[misc]
                view, "raw.cosine_mean", (arm, size, tokens, "cls"), (arm, size, 0, "cls")
            ),
            above=False,
        )
        yield from _judged(
            view,
            f"{arm}: [CLS] vectors are more similar than the means over tokens",
            lambda size, tokens, arm=arm: _paired(  # type: ignore[misc]
                view, "raw.cosine_mean", (arm, size, tokens, "cls"), (arm, size, tokens, "mean")
            ),
        )
        yield from _judged(
            view,
            f"{arm}: training makes raw [CLS] rank sentence pairs worse (STS Spearman)",
            lambda size, tokens, arm=arm: _paired(  # type: ignore[misc]
                view,
                "sts_spearman.raw",
                (arm, size, tokens, "cls"),
                (arm, size, 0, "cls"),
                name="difference of correlations",
            ),
            above=False,
        )
        for cure, name in (("centred", "centring"), ("whitened", "whitening")):
            yield from _judged(
                view,
                f"{arm}: {name} makes [CLS] rank sentence pairs better (STS Spearman)",
                lambda size, tokens, arm=arm, cure=cure: _difference_of_columns(  # type: ignore[misc]
                    view, f"sts_spearman.{cure}", "sts_spearman.raw", (arm, size, tokens, "cls")
                ),
            )
    if {"bert-mlm", "bert-nsp"} <= arms:
        yield from _judged(
            view,
            "next-sentence prediction makes [CLS] vectors less similar",
            lambda size, tokens: _paired(
                view, "raw.cosine_mean", ("bert-nsp", size, tokens, "cls"),
                ("bert-mlm", size, tokens, "cls"),
            ),
            above=False,
        )  # fmt: skip
    if {"clm", "mlm-15"} <= arms:
        yield from _judged(
            view,
            "the last token of a causal model is less similar than the [CLS] of its masked twin",
            lambda size, tokens: _paired(
                view, "raw.cosine_mean", ("clm", size, tokens, "last"),
                ("mlm-15", size, tokens, "cls"),
            ),
            above=False,
            control=(view.size, 0),
        )  # fmt: skip


def _judged(
    view: View,
    claim: str,
    effect: Effect,
    *,
    null: float = 0.0,
    above: bool = True,
    control: tuple[str, int] | None = None,
) -> Iterator[QuestionVerdict]:
    """The verdict at the largest size and horizon, with the others under which it is another.

    Args:
        control: a size and horizon whose effect is printed beside: 0 tokens for no training.
    """
    found: dict[tuple[str, int], QuestionVerdict] = {}
    for size, tokens in view.conventions():
        estimate, n_seeds = effect(size, tokens)
        if estimate is not None:
            found[size, tokens] = judge(claim, estimate, n_seeds=n_seeds, null=null, above=above)
    main = found.pop((view.size, view.tokens), None)
    if main is None or main.estimate is None:
        return  # the study has no such arm, pooling or task at its largest size
    basis = main.estimate.interval.method if main.estimate.interval else ""
    untrained = effect(*control)[0] if control else None
    if untrained is not None:
        basis += f"; {signed(untrained)} before training"
    yield judge(
        claim,
        main.estimate,
        n_seeds=main.n_seeds,
        null=null,
        above=above,
        flips=_flips(main, found, null),
        basis=basis,
    )


def _flips(
    main: QuestionVerdict, others: Mapping[tuple[str, int], QuestionVerdict], null: float
) -> tuple[str, ...]:
    flips = []
    for (size, tokens), verdict in others.items():
        if verdict.is_established != main.is_established:
            said = "established" if verdict.is_established else "not established"
            assert verdict.estimate is not None
            flips.append(f"size {size}, {tokens} tokens ({said}, {verdict.estimate.value:+.3f})")
    return tuple(flips)


def _mean(view: View, column: str, arm: str, size: str, tokens: int) -> tuple[Estimate | None, int]:
    values = view.values(column, arm=arm, size=size, tokens=tokens)
    if not values:
        return None, 0
    return seed_mean(list(values.values()), name="cosine", unit=""), len(values)


def _paired(
    view: View,
    column: str,
    one: tuple[str, str, int, str],
    other: tuple[str, str, int, str],
    *,
    name: str = "difference of cosines",
) -> tuple[Estimate | None, int]:
    sides = [
        view.values(column, arm=arm, size=size, tokens=tokens, pooling=pooling)
        for arm, size, tokens, pooling in (one, other)
    ]
    difference = paired_difference(*sides, name=name, unit="")
    return difference, len(sides[0].keys() & sides[1].keys())


def _difference_of_columns(
    view: View, one: str, other: str, place: tuple[str, str, int, str]
) -> tuple[Estimate | None, int]:
    arm, size, tokens, pooling = place
    sides = [
        view.values(column, arm=arm, size=size, tokens=tokens, pooling=pooling)
        for column in (one, other)
    ]
    difference = paired_difference(*sides, name="difference of correlations", unit="")
    return difference, len(sides[0].keys() & sides[1].keys())


def _flat(found: Mapping[str, Any], name: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in found.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name}{key}.")
        elif key != "histogram":
            yield f"{name}{key}", value
