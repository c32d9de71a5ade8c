"""Measurement `next_sentence`: what a model knows of pairs of segments, and what it takes to.

For each task on pairs (`pair_tasks`): the accuracy of the pair head, also of one that was trained
on another task; of word overlap (`pair_baselines`); of a probe on the frozen model; and on a
language with known probabilities that of the best possible classifier, with all it can know and
with the topics alone. Then how the gradients of both losses lie to each other
(`gradient_cosine`), and the MLM loss of windows and of right pairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from scaling.batches import PairBatch
from scaling.corpora.grammar import known_grammar
from scaling.errors import SweepError
from scaling.evaluate import pair_baselines
from scaling.evaluate.gradient_cosine import gradient_cosines
from scaling.evaluate.measurement import Measurement, Report, Trained, Weights
from scaling.evaluate.pair_optimum import not_whole_sentences, two_sentences
from scaling.evaluate.pair_tasks import TASKS, answers, features, share, task_pairs
from scaling.grammar.pairs import Negatives, credit, next_probs, topic_next_probs
from scaling.models import LanguageModel
from scaling.objectives import OBJECTIVES

_GRADIENT_ROWS = 64


@dataclass(frozen=True, kw_only=True)
class NextSentence:
    """Options.

    Attributes:
        pairs: of each task, to judge by.
        fitting_pairs: of each task, that probes and thresholds are fitted on.
        gradient_batches: batches of 64 pairs, over which the cosine of gradients is taken.
        weights: `initial` for the untrained control.
    """

    pairs: int = 4096
    fitting_pairs: int = 4096
    gradient_batches: int = 16
    weights: Weights = "trained"

    def __post_init__(self) -> None:
        for name, least in (("pairs", 2), ("fitting_pairs", 2), ("gradient_batches", 1)):
            if getattr(self, name) < least:
                raise SweepError(f"next_sentence: {name}={getattr(self, name)} is under {least}")


def measure(trained: Trained, options: NextSentence, report: Report) -> dict[str, Any]:
    """The values of the record; see the top of the file."""
    missing: dict[str, str] = {}
    values: dict[str, Any] = {"tasks": {}}
    steps = len(TASKS) + 1
    for number, task in enumerate(TASKS):
        values["tasks"][task] = _task(trained, task, options, missing)
        report(number + 1, steps)
    values["gradients"] = _gradients(trained, options, missing)
    report(steps, steps)
    return {**values, "missing": missing}


def _task(
    trained: Trained, task: str, options: NextSentence, missing: dict[str, str]
) -> dict[str, Any]:
    judged = task_pairs(trained, task, options.pairs)
    fitting = task_pairs(trained, task, options.fitting_pairs, for_fitting=True)
    found: dict[str, Any] = {
        "pairs": len(judged.is_next_B),
        "head": _head(trained, judged, f"tasks.{task}.head", missing),
    }
    is_generated = known_grammar(trained.spec.corpus) is not None
    overlap = pair_baselines.overlap_accuracy(
        fitting, judged, trained.text.tokenizer, by_characters=is_generated
    )
    found |= {name: accuracy.to_dict() for name, accuracy in overlap.items()}
    fit_features, judged_features = features(trained, fitting), features(trained, judged)
    found["probe"] = {
        name: pair_baselines.probe_accuracy(
            fit_features[name], fitting.is_next_B, judged_features[name], judged.is_next_B
        ).to_dict()
        for name in judged_features
    }
    if is_generated:
        name = f"tasks.{task}.optimum"
        found["optimum"] = _optimum(trained, TASKS[task], judged, name, missing)
    return found


def _head(
    trained: Trained, judged: PairBatch, name: str, missing: dict[str, str]
) -> dict[str, Any] | None:
    has_head = type(trained.model).pair_logits is not LanguageModel.pair_logits
    if not has_head or OBJECTIVES[trained.spec.objective].pair_term is None:
        missing[name] = f"objective {trained.spec.objective} trains no pair head"
        return None
    return answers(trained, judged)


def _optimum(
    trained: Trained, negatives: Negatives, judged: PairBatch, name: str, missing: dict[str, str]
) -> dict[str, Any] | None:
    """The best possible accuracy on the very same pairs, with and without all but topics."""
    grammar = known_grammar(trained.spec.corpus)
    assert grammar is not None
    if why := not_whole_sentences(grammar, trained.spec.replace(pair_cut="sentence")):
        missing[name] = why
        return None
    sentences = two_sentences(judged.ids_BT, grammar.knobs.sentence_tokens)
    right = credit(next_probs(grammar, negatives, *sentences), judged.is_next_B)
    by_topic = credit(topic_next_probs(grammar, negatives, *sentences), judged.is_next_B)
    return {**share(right).to_dict(), **share(by_topic).to_dict("topic_accuracy")}


def _gradients(
    trained: Trained, options: NextSentence, missing: dict[str, str]
) -> dict[str, Any] | None:
    """Of the MLM loss and the pair loss, on the pairs of training as training sees them."""
    objective = OBJECTIVES[trained.spec.objective]
    if objective.pair_term is None or not objective.head_positions(trained.spec):
        missing["gradients"] = f"objective {trained.spec.objective} has one loss"
        return None
    spec = trained.spec
    n_tokens = _GRADIENT_ROWS * spec.seq_len
    drawn = spec.replace(
        batch_tokens=n_tokens, train_tokens=n_tokens, warmup_tokens=0, cooldown_tokens=0
    )
    # Steps beyond those of the run: pairs that it has not been trained on.
    first = spec.train_tokens // n_tokens + 1
    batches = [
        objective.training_batch(trained.text, drawn, step).to(trained.device)
        for step in range(first, first + options.gradient_batches)
    ]
    groups = gradient_cosines(trained.model, objective, batches, "mlm", objective.pair_term)
    return {"terms": ["mlm", objective.pair_term], "groups": groups}


MEASUREMENT = Measurement(options=NextSentence, measure=measure)
