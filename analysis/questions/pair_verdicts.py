"""The verdicts of question 4 on the tasks on pairs: who solves them, and what MLM knew before."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from analysis.questions.answer import QuestionVerdict, judge
from analysis.questions.pair_view import CHANCE, PairStudy, Seeds, by_seed
from analysis.seeds import paired_difference, seed_mean
from analysis.values import Estimate

# Arm -> the task that it was trained on.
TRAINED_ON = {"mlm+nsp": "nsp", "mlm+nsp-same": "nsp_same_document", "mlm+sop": "sop", "nsp": "nsp"}
TASK_NAMES = {
    "nsp": "next sentences among other documents",
    "nsp_same_document": "next sentences among those of the same document",
    "sop": "the order of sentences",
}
_PROBES = ("cls", "mean")


def pair_verdicts(study: PairStudy) -> Iterator[QuestionVerdict]:
    """Those for which the study has the arms."""
    for arm, task in TRAINED_ON.items():
        yield from _beyond_chance(study, arm, task, f"{arm} tells {TASK_NAMES[task]}")
    yield from _beyond(study, "tfidf", "next-sentence prediction takes more than word overlap")
    yield from _beyond(study, "optimum.topic", "next-sentence prediction takes more than topics")
    yield from _beyond_chance(study, "mlm+nsp", "sop", "nsp teaches sop")
    yield from _beyond_chance(study, "mlm+sop", "nsp", "sop teaches nsp")
    yield from _redundancy(study)
    yield from _same_probe(study)
    yield from _control(study)
    yield from _gradients(study)


def _beyond_chance(study: PairStudy, arm: str, task: str, claim: str) -> Iterator[QuestionVerdict]:
    """Whether the pair head of an arm solves a task, also one that it was not trained on."""
    values = study.by_seed(arm, f"tasks.{task}.head.accuracy")
    if values:
        over = [value - CHANCE for value in values.values()]
        estimate = seed_mean(over, name=f"accuracy of {arm} on {task} - chance", unit="")
        yield judge(claim, estimate, n_seeds=len(values))


def _beyond(study: PairStudy, baseline: str, claim: str) -> Iterator[QuestionVerdict]:
    """Whether a model trained on NSP is right more often than a baseline on the same pairs."""
    column = f"{baseline}_accuracy" if baseline.startswith("optimum") else f"{baseline}.accuracy"
    yield from _paired(
        claim,
        study.by_seed("mlm+nsp", "tasks.nsp.head.accuracy"),
        study.by_seed("mlm+nsp", f"tasks.nsp.{column}"),
        name=f"accuracy(model) - accuracy({baseline.removeprefix('optimum.')})",
        basis="arm mlm+nsp, wrong pairs from other documents",
    )


def _redundancy(study: PairStudy) -> Iterator[QuestionVerdict]:
    """Whether a trained pair head beats the better probe on a frozen model of MLM alone."""
    best = _best_probe(study.trained)
    untrained = _best_probe(study.untrained)
    basis = ""
    if untrained:
        mean = sum(untrained.values()) / len(untrained)
        basis = f"the probe has {mean:.3f} on untrained weights"
    head = study.by_seed("mlm+nsp", "tasks.nsp.head.accuracy")
    name = "accuracy(trained) - accuracy(probe on frozen MLM)"
    estimate = paired_difference(head, best, name=name, unit="")
    is_behind = estimate is not None and estimate.value < 0
    claim = "training on pairs teaches what MLM alone does not"
    if is_behind:
        claim = "a probe on frozen MLM is right more often than the head that pairs have trained"
    yield from _paired(claim, head, best, name=name, above=not is_behind, basis=basis)


def _best_probe(frame: pd.DataFrame) -> Seeds:
    """Seed -> accuracy on NSP of the better probe on a frozen model of MLM alone."""
    probes = [by_seed(frame, "mlm", f"tasks.nsp.probe.{name}.accuracy") for name in _PROBES]
    return {seed: max(probe[seed] for probe in probes) for seed in probes[0]}


def _same_probe(study: PairStudy) -> Iterator[QuestionVerdict]:
    """Whether training on pairs adds what a probe reads: one way of reading, with and without."""
    column = "tasks.nsp.probe.mean.accuracy"
    yield from _paired(
        "training on pairs adds what a probe on means reads",
        study.by_seed("mlm+nsp", column),
        study.by_seed("mlm", column),
        name="accuracy(probe on frozen mlm+nsp) - accuracy(the same probe on frozen mlm)",
        basis="paired seeds",
    )


def _control(study: PairStudy) -> Iterator[QuestionVerdict]:
    """Whether MLM teaches what the probe reads, or random features have it already."""
    column = "tasks.nsp.probe.mean.accuracy"
    yield from _paired(
        "MLM alone teaches a probe on means more than an untrained model tells it",
        study.by_seed("mlm", column),
        by_seed(study.untrained, "mlm", column),
        name="accuracy(probe on frozen mlm) - accuracy(the same probe on untrained weights)",
        basis="paired seeds",
    )


def _gradients(study: PairStudy) -> Iterator[QuestionVerdict]:
    values = study.by_seed("mlm+nsp", "gradients.groups.all.cosine")
    if not values:
        return
    estimate = seed_mean(list(values.values()), name="cosine of the gradients", unit="")
    same = estimate.value > 0
    way = "the same way" if same else "against each other"
    claim = f"the losses of MLM and next-sentence prediction pull shared weights {way}"
    yield judge(claim, estimate, n_seeds=len(values), above=same, basis="at the end of training")


def _paired(
    claim: str, one: Seeds, other: Seeds, *, name: str, above: bool = True, basis: str = ""
) -> Iterator[QuestionVerdict]:
    """The verdict on one - other over the seeds of both; none where they share no seed."""
    estimate: Estimate | None = paired_difference(one, other, name=name, unit="")
    if estimate is not None:
        n_seeds = len(one.keys() & other.keys())
        yield judge(claim, estimate, n_seeds=n_seeds, above=above, basis=basis)
