"""Question 4: why was next-sentence prediction found useless?

Arms that change one thing at a time (MLM, the format of pairs, a loss on them, the kind of wrong
pairs, no MLM), at equal tokens and lengths. Each claim is a number over seeds: how far the task is
word overlap or topic, what it does to MLM, what of it MLM has learned already, and whether one
task on pairs teaches another.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from analysis.errors import AnalysisError
from analysis.questions.answer import Answer, QuestionVerdict, judge
from analysis.questions.q4_figures import figures
from analysis.questions.table import QuestionTable
from analysis.seeds import paired_difference, seed_mean
from analysis.values import Estimate

MEASUREMENT = "next_sentence"
TASKS = ("nsp", "nsp_same_document", "sop")
CHANCE = 0.5

# Arm -> the task that it was trained on.
TRAINED_ON = {"mlm+nsp": "nsp", "mlm+nsp-same": "nsp_same_document", "mlm+sop": "sop", "nsp": "nsp"}

_NOTES = (
    "bits per byte are of windows of text, which models that are trained on pairs never see: what "
    "`mlm` has ahead of the others there is the format's, and the losses on the same pairs (table "
    "q4_losses) say what the second task does to MLM",
    "published, ALBERT table 5: trained on NSP, accuracy 90.5 on NSP and 52.0 on SOP; trained on "
    "SOP, 78.9 and 86.5",
    "published, RoBERTa table 2, SQuAD 1.1 F1: segment pairs with NSP 90.4, full sentences without "
    "90.4, document sentences without 90.6; SpanBERT table 7, GLUE: 83.4 with NSP, 83.8 without",
)

Seeds = dict[int, float]


def answer(table: QuestionTable) -> Answer:
    """The verdicts of one study, on one corpus.

    Raises:
        AnalysisError: there is no evaluation by `next_sentence`, or the runs read several corpora.
    """
    corpora = {run["spec"]["corpus_fingerprint"] for run in table.runs.values()}
    if len(corpora) > 1:
        raise AnalysisError(
            f"{table.source} holds runs on {len(corpora)} corpora, whose pairs and losses are not "
            "comparable; answer from a study of one"
        )
    frame = table.frame(MEASUREMENT)
    if "option_weights" in frame:
        frame = frame[frame["option_weights"] == "trained"]
    found: list[QuestionVerdict | None] = [
        _beyond(frame, "tfidf", "next-sentence prediction takes more than word overlap"),
        _beyond(frame, "optimum.topic", "next-sentence prediction takes more than topics"),
        *_effects_on_mlm(table, frame),
        _transfer(frame, "mlm+nsp", "sop"),
        _transfer(frame, "mlm+sop", "nsp"),
        _redundancy(frame),
        _same_probe(frame),
        _gradients(frame),
    ]
    accuracies = accuracy_table(frame)
    losses = loss_table(table, frame)
    return Answer(
        question="Why was next-sentence prediction found useless?",
        verdicts=tuple(verdict for verdict in found if verdict is not None),
        tables={"q4_accuracy": accuracies, "q4_losses": losses, "q4_gradients": gradients(frame)},
        figures=figures(accuracies, losses),
        notes=_NOTES,
        excluded=table.excluded,
    )


def by_seed(frame: pd.DataFrame, arm: str, column: str) -> Seeds:
    """Seed -> value of a column for one arm, where there is one."""
    if column not in frame:
        return {}
    rows = frame[(frame["arm"] == arm) & frame[column].notna()]
    return {int(seed): float(value) for seed, value in zip(rows["seed"], rows[column], strict=True)}


def accuracy_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Mean accuracy over seeds with its interval, by arm, task and classifier."""
    readings = {
        "head": "head.accuracy",
        "tfidf": "tfidf.accuracy",
        "unigram_overlap": "unigram_overlap.accuracy",
        "probe_cls": "probe.cls.accuracy",
        "probe_mean": "probe.mean.accuracy",
        "optimum": "optimum.accuracy",
        "optimum_topic": "optimum.topic_accuracy",
    }
    rows = []
    for arm in dict.fromkeys(frame["arm"]):
        for task in TASKS:
            for reading, name in readings.items():
                values = by_seed(frame, arm, f"tasks.{task}.{name}")
                if values:
                    rows.append(
                        {"arm": arm, "task": task, "reading": reading} | _row(values, "accuracy")
                    )
    return pd.DataFrame(rows)


def loss_table(table: QuestionTable, frame: pd.DataFrame) -> pd.DataFrame:
    """Bits per byte of text and losses in nats, by arm, means over seeds."""
    rows = []
    for arm in dict.fromkeys(frame["arm"]):
        readings = {"bits_per_byte": by_seed(frame, arm, "bits_per_byte")}
        for term in ("mlm", "nsp", "sop"):
            readings[f"{term}_nats"] = _losses(table, frame, arm, term)
        for reading, values in readings.items():
            if values:
                rows.append({"arm": arm, "reading": reading} | _row(values, reading))
    return pd.DataFrame(rows)


def gradients(frame: pd.DataFrame) -> pd.DataFrame:
    """Cosine of the gradients of both losses by arm and group of parameters."""
    prefix, suffix = "gradients.groups.", ".cosine"
    names = [c for c in frame.columns if c.startswith(prefix) and c.endswith(suffix)]
    rows = [
        {"arm": arm, "group": name[len(prefix) : -len(suffix)]} | _row(values, "cosine")
        for arm in dict.fromkeys(frame["arm"])
        for name in names
        if (values := by_seed(frame, arm, name))
    ]
    return pd.DataFrame(rows, columns=["arm", "group", "mean", "low", "high", "seeds"])


def _row(values: Seeds, name: str) -> dict[str, Any]:
    estimate = seed_mean(list(values.values()), name=name, unit="")
    # What is the same for every seed, such as word overlap, has no spread over seeds to show.
    interval = estimate.interval if len(set(values.values())) > 1 else None
    return {
        "mean": estimate.value,
        "low": interval.low if interval else math.nan,
        "high": interval.high if interval else math.nan,
        "seeds": len(values),
    }


def _beyond(frame: pd.DataFrame, baseline: str, claim: str) -> QuestionVerdict | None:
    """Whether a model trained on NSP is right more often than a baseline on the same pairs."""
    column = f"{baseline}_accuracy" if baseline.startswith("optimum") else f"{baseline}.accuracy"
    estimate = paired_difference(
        by_seed(frame, "mlm+nsp", "tasks.nsp.head.accuracy"),
        by_seed(frame, "mlm+nsp", f"tasks.nsp.{column}"),
        name=f"accuracy(model) - accuracy({baseline.removeprefix('optimum.')})",
        unit="",
    )
    return _judged(claim, estimate, frame, basis="arm mlm+nsp, wrong pairs from other documents")


def _effects_on_mlm(table: QuestionTable, frame: pd.DataFrame) -> list[QuestionVerdict | None]:
    """What the format, and then each loss on pairs, does to the code length of text."""
    found = []
    for arm, reference, what in (
        ("mlm-pairs", "mlm", "the format of pairs"),
        ("mlm+nsp", "mlm-pairs", "next-sentence prediction"),
        ("mlm+nsp-same", "mlm-pairs", "next-sentence prediction within documents"),
        ("mlm+sop", "mlm-pairs", "sentence-order prediction"),
    ):
        one, other = (by_seed(frame, name, "bits_per_byte") for name in (arm, reference))
        estimate = paired_difference(
            one, other, name=f"bits per byte({arm}) - ({reference})", unit="bits per byte"
        )
        if estimate is None:
            continue
        hurts = estimate.value > 0
        claim = f"{what} makes MLM {'worse' if hurts else 'better'} at equal tokens"
        is_format = reference == "mlm"
        basis = "paired seeds, upper bounds on windows" + (
            ", which only mlm was trained on: a change of what is read, and not of what is known"
            if is_format
            else ", which neither was trained on"
        )
        verdict = _judged(claim, estimate, frame, above=hurts, basis=basis)
        if verdict is not None:
            flips = _flips(table, frame, (arm, reference), verdict)
            found.append(_with_flips(verdict, flips))
    return list(found)


def _flips(
    table: QuestionTable, frame: pd.DataFrame, arms: tuple[str, str], verdict: QuestionVerdict
) -> tuple[str, ...]:
    """Conventions under which the verdict on bits per byte would be another."""
    other_ways: dict[str, Estimate | None] = {
        "equal FLOPs, by the slope of the reference's curve": paired_difference(
            by_seed(frame, arms[0], "bits_per_byte"),
            _at_flops_of(table, frame, arms),
            name="",
            unit="",
        )
    }
    yardsticks = {_yardstick(table, frame, arm) for arm in arms}
    if len(yardsticks) == 1:
        other_ways["MLM loss on the same pairs"] = paired_difference(
            _losses(table, frame, arms[0], "mlm"),
            _losses(table, frame, arms[1], "mlm"),
            name="",
            unit="",
        )
    assert verdict.estimate is not None
    flips = []
    for convention, estimate in other_ways.items():
        if estimate is None:
            continue
        above = verdict.estimate.value > 0
        again = judge("", estimate, n_seeds=verdict.n_seeds, above=above)
        if again.is_established != verdict.is_established:
            flips.append(convention)
    return tuple(flips)


def _at_flops_of(table: QuestionTable, frame: pd.DataFrame, arms: tuple[str, str]) -> Seeds:
    """Bits per byte of the reference, had it been given as many FLOPs as the arm."""
    flops, reference_flops = (by_seed(frame, arm, "train_flops") for arm in arms)
    bits = by_seed(frame, arms[1], "bits_per_byte")
    runs = _runs(table, frame, arms[1])
    found = {}
    for seed in bits.keys() & flops.keys():
        slope = _relative_slope(runs[seed])
        found[seed] = bits[seed] * (1 + slope * math.log(flops[seed] / reference_flops[seed]))
    return found


def _relative_slope(run: Mapping[str, Any]) -> float:
    """d log(MLM loss) / d log(FLOPs) over the last octave of the curve."""
    points = [p for p in run["curve"] if p["split"] == "validation" and p["term"] == "mlm"]
    if len(points) < 2:
        return 0.0
    last = points[-1]
    before = [p for p in points if p["tokens"] <= last["tokens"] / 2] or points[:1]
    rise = math.log(last["nats_per_target"] / before[-1]["nats_per_target"])
    return rise / math.log(last["train_flops"] / before[-1]["train_flops"])


def _transfer(frame: pd.DataFrame, arm: str, task: str) -> QuestionVerdict | None:
    """Whether what was trained on one task solves another without training."""
    values = by_seed(frame, arm, f"tasks.{task}.head.accuracy")
    if not values:
        return None
    estimate = seed_mean(
        [value - CHANCE for value in values.values()],
        name=f"accuracy of {arm} on {task} - chance",
        unit="",
    )
    return _judged(f"{TRAINED_ON[arm]} teaches {task}", estimate, frame)


def _redundancy(frame: pd.DataFrame) -> QuestionVerdict | None:
    """Whether a trained pair head beats the better probe on a frozen model of MLM alone."""
    probes = [by_seed(frame, "mlm", f"tasks.nsp.probe.{name}.accuracy") for name in ("cls", "mean")]
    best = {seed: max(probe[seed] for probe in probes) for seed in probes[0]}
    estimate = paired_difference(
        by_seed(frame, "mlm+nsp", "tasks.nsp.head.accuracy"),
        best,
        name="accuracy(trained) - accuracy(probe on frozen MLM)",
        unit="",
    )
    if estimate is not None and estimate.value < 0:
        claim = "a probe on frozen MLM is right more often than the head that pairs have trained"
        return _judged(claim, estimate, frame, above=False)
    return _judged("training on pairs teaches what MLM alone does not", estimate, frame)


def _same_probe(frame: pd.DataFrame) -> QuestionVerdict | None:
    """Whether training on pairs adds what a probe reads: one way of reading, with and without."""
    column = "tasks.nsp.probe.mean.accuracy"
    estimate = paired_difference(
        by_seed(frame, "mlm+nsp", column),
        by_seed(frame, "mlm", column),
        name="accuracy(probe on frozen mlm+nsp) - accuracy(the same probe on frozen mlm)",
        unit="",
    )
    claim = "training on pairs adds what a probe on means reads"
    return _judged(claim, estimate, frame, basis="paired seeds")


def _gradients(frame: pd.DataFrame) -> QuestionVerdict | None:
    values = by_seed(frame, "mlm+nsp", "gradients.groups.all.cosine")
    if not values:
        return None
    estimate = seed_mean(list(values.values()), name="cosine of the gradients", unit="")
    same = estimate.value > 0
    way = "the same way" if same else "against each other"
    claim = f"the losses of MLM and next-sentence prediction pull shared weights {way}"
    return _judged(claim, estimate, frame, above=same, basis="at the end of training")


def _judged(
    claim: str,
    estimate: Estimate | None,
    frame: pd.DataFrame,
    *,
    above: bool = True,
    basis: str = "",
) -> QuestionVerdict | None:
    if estimate is None:
        return None
    n_seeds = int(frame["seed"].nunique())
    return judge(claim, estimate, n_seeds=n_seeds, above=above, basis=basis)


def _with_flips(verdict: QuestionVerdict, flips: tuple[str, ...]) -> QuestionVerdict:
    return QuestionVerdict(
        claim=verdict.claim,
        estimate=verdict.estimate,
        is_established=verdict.is_established,
        n_seeds=verdict.n_seeds,
        flips=flips,
        basis=verdict.basis,
    )


def _runs(table: QuestionTable, frame: pd.DataFrame, arm: str) -> dict[int, Mapping[str, Any]]:
    rows = frame[frame["arm"] == arm]
    return {
        int(seed): table.runs[run] for seed, run in zip(rows["seed"], rows["run_id"], strict=True)
    }


def _losses(table: QuestionTable, frame: pd.DataFrame, arm: str, term: str) -> Seeds:
    read: Callable[[Mapping[str, Any]], Any] = lambda run: run["losses"].get(term)  # noqa: E731
    found = {seed: read(run) for seed, run in _runs(table, frame, arm).items()}
    return {seed: float(loss["nats_per_target"]) for seed, loss in found.items() if loss}


def _yardstick(table: QuestionTable, frame: pd.DataFrame, arm: str) -> str:
    """What the MLM loss of an arm was measured on; empty names for none."""
    kinds = {run["yardsticks"].get("mlm", "") for run in _runs(table, frame, arm).values()}
    return ", ".join(sorted(kinds))
