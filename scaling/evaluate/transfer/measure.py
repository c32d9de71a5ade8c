"""The measurement `transfer`: fine-tune a finished model on a task, and score it.

Scores are of the last step, on validation (to choose a learning rate by) and on test. Baselines
that need no language model are computed from the very same examples and stand beside them.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from scaling.errors import SweepError
from scaling.evaluate.measurement import Measurement, Report, Trained
from scaling.evaluate.transfer.check import check_examples
from scaling.evaluate.transfer.fine_tune import (
    FineTuned,
    Schedule,
    fine_tune,
    predict,
    set_direction,
)
from scaling.evaluate.transfer.layout import Layout
from scaling.evaluate.transfer.options import TransferOptions
from scaling.evaluate.transfer.pooling import pooler_named
from scaling.evaluate.transfer.rows import (
    SPLITS,
    Row,
    TaskDataError,
    check_place,
    data_fingerprint,
    data_name,
    read_rows,
)
from scaling.evaluate.transfer.task import Example, Scores, Task
from scaling.evaluate.transfer.tasks import TASKS
from scaling.files import write_atomic
from scaling.install import install_command
from scaling.tokenizer import Tokenizer, byte_tokenizer

# What scores and baselines are computed with; they come with an extra.
_LIBRARIES = ("sklearn", "seqeval", "torchmetrics")

# Grows when a baseline comes to be computed differently, so that none is read from before.
_BASELINES_VERSION = 1
_EVAL_STREAM, _TRAIN_STREAM = 21, 22


def fingerprints(options: TransferOptions) -> dict[str, str]:
    """The data by name.

    Raises:
        SweepError: none are named, or a library is missing. TaskDataError: they cannot be read, or
        an example lacks what the task needs.
    """
    missing = [name for name in _LIBRARIES if find_spec(name) is None]
    if missing:
        raise SweepError(
            f"transfer needs {', '.join(missing)}, which is not installed; "
            f"install it with: {install_command('transfer')}"
        )
    place = check_place(options.data)
    check_examples(place, options.task)
    return {data_name(place): data_fingerprint(place)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Split:
    """The examples of one split that are used, and how many did not fit.

    Attributes:
        too_long: examples that did not fit: cut, or left out, as asked for.
        unanswerable: of those used, how many have a target that was cut off or that no training
            example has.
    """

    examples: list[Example]
    too_long: int

    @property
    def unanswerable(self) -> int:
        return sum(not example.is_answerable for example in self.examples)

    @property
    def rows(self) -> list[Row]:
        return [example.row for example in self.examples]


def measure(trained: Trained, options: TransferOptions, report: Report) -> dict[str, Any]:
    """Fine-tunes and scores; see `TransferOptions`. The model is changed in place."""
    place = check_place(options.data)
    layout = Layout(tokenizer=_tokenizer(trained), seq_len=trained.spec.seq_len)
    task, splits = make_splits(read_rows(place), options, layout)
    set_direction(trained.model, options.mask)
    tuned = FineTuned(
        trained.model,
        pooler_named(options.pooler, reads_words=task.reads_words, task=options.task),
        task.n_outputs,
        seed=options.seed,
        freeze=options.freeze,
    ).to(trained.device)
    used = [example for example in splits["train"].examples if example.is_answerable]
    if not used:
        raise TaskDataError(
            f"data={place}: no training example fits in seq_len={trained.spec.seq_len}; choose a "
            "run with longer sequences, or other data"
        )
    schedule = Schedule(
        steps=_steps(options, len(used)),
        batch_examples=options.batch_examples,
        peak_lr=options.peak_lr,
        seed=options.seed,
    )
    final_loss = fine_tune(
        tuned, task, used, schedule, trained.device,
        report=lambda step: report(step, schedule.steps),
    )  # fmt: skip
    values: dict[str, Any] = {
        "data": data_name(place),
        "metric": task.metric,
        "attention": "causal" if trained.model.is_causal else "bidirectional",
        "steps": schedule.steps,
        "train_loss_last_tenth": final_loss,
        "examples": {split: len(splits[split].examples) for split in SPLITS},
        "examples_too_long": {split: splits[split].too_long for split in SPLITS},
        "examples_unanswerable": {split: splits[split].unanswerable for split in SPLITS},
    }
    for split in ("validation", "test"):
        found = splits[split]
        values[split] = task.score(found.rows, predict(tuned, task, found.examples, trained.device))
    values["baselines"] = baselines(task, splits, options, trained.cache)
    missing = {
        f"{where}.{name}": "a rank correlation is not defined where all predictions are the same"
        for where, scores in _scored(values)
        for name, score in scores.items()
        if score is None
    }
    return values | {"missing": missing}


def make_splits(
    rows: dict[str, list[Row]], options: TransferOptions, layout: Layout
) -> tuple[Task, dict[str, Split]]:
    """The task with the labels of its training examples, and the examples of each split.

    Examples are chosen after those that are left out, so that their numbers are those asked for.
    """
    everything = TASKS[options.task](rows["train"])
    drop = options.too_long == "drop"
    chosen, too_long = {}, {}
    for split in SPLITS:
        laid = [(row, everything.example(row, layout).laid.is_cut) for row in rows[split]]
        fitting = [row for row, is_cut in laid if not (drop and is_cut)]
        too_long[split] = len(rows[split]) - len(fitting)
        is_train = split == "train"
        limit = options.train_examples if is_train else options.eval_examples
        stream = [options.seed, _TRAIN_STREAM] if is_train else [0, _EVAL_STREAM]
        chosen[split] = _draw(fitting, limit, np.random.default_rng(stream))
    if not all(chosen.values()):
        empty = next(split for split in SPLITS if not chosen[split])
        raise TaskDataError(
            f"no example of {empty} fits in seq_len={layout.seq_len}; give too_long=cut, or "
            "choose a run with longer sequences"
        )
    task = TASKS[options.task](chosen["train"])
    splits = {}
    for split in SPLITS:
        examples = [task.example(row, layout) for row in chosen[split]]
        cut = sum(example.laid.is_cut for example in examples)
        splits[split] = Split(examples=examples, too_long=too_long[split] if drop else cut)
    return task, splits


def _draw(rows: Sequence[Row], limit: int | None, rng: np.random.Generator) -> list[Row]:
    """The first `limit` of a shuffle: a smaller draw is part of a larger one."""
    if limit is None or limit >= len(rows):
        return list(rows)
    return [rows[i] for i in rng.permutation(len(rows))[:limit]]


def baselines(
    task: Task, splits: dict[str, Split], options: TransferOptions, cache: Path
) -> dict[str, dict[str, Scores]]:
    """name -> validation, test -> scores; kept under `cache`, as all models share them."""
    train = splits["train"].rows
    content = [_BASELINES_VERSION, options.task, *(splits[split].rows for split in SPLITS)]
    key = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
    path = cache / "transfer_baselines" / f"{key}.json"
    try:
        kept: dict[str, dict[str, Scores]] = json.loads(path.read_text(encoding="utf-8"))
        return kept
    except (OSError, ValueError):  # not there, or damaged: made again
        pass
    made: dict[str, dict[str, Scores]] = {}
    for split in ("validation", "test"):
        rows = splits[split].rows
        for name, predictions in task.baselines(train, rows).items():
            made.setdefault(name, {})[split] = task.score(rows, predictions)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, json.dumps(made))
    return made


def _scored(values: dict[str, Any]) -> list[tuple[str, Scores]]:
    named = [(split, values[split]) for split in ("validation", "test")]
    for name, by_split in values["baselines"].items():
        named += [(f"baselines.{name}.{split}", scores) for split, scores in by_split.items()]
    return named


def _steps(options: TransferOptions, n_examples: int) -> int:
    return options.steps or options.epochs * math.ceil(n_examples / options.batch_examples)


def _tokenizer(trained: Trained) -> Tokenizer:
    # Bytes are known without the text that the run was trained on, which may not be at hand.
    return byte_tokenizer() if trained.spec.tokenizer == "bytes" else trained.text.tokenizer


MEASUREMENT = Measurement(options=TransferOptions, measure=measure, data=fingerprints)
