"""Question 5: why are the [CLS] vectors of any two sentences so similar, and what cures it?

Each verdict is an effect over seeds at the largest size and horizon of the study; the conventions
under which it would be another are its other sizes and horizons.
"""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from analysis.questions.answer import Answer
from analysis.questions.arm_ladder import LOSS, plateau_notes, runs_frame
from analysis.questions.cls_tables import histograms, learned, over_seeds
from analysis.questions.cls_verdicts import verdicts
from analysis.questions.cls_view import View, long_frame, own_pooling
from analysis.questions.q5_figures import make_figures
from analysis.questions.table import QuestionTable

MEASUREMENT = "cls_geometry"
QUESTION = "Why are the [CLS] vectors of any two sentences so similar?"

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
    losses = learned(evaluations)
    return Answer(
        question=QUESTION,
        verdicts=tuple(verdicts(view)),
        tables={"geometry": frame, "over_seeds": over_seeds(frame), "learned": losses},
        figures=make_figures(
            frame, histograms(evaluations), own_pooling(frame), view.size, view.tokens
        ),
        notes=(
            *NOTES,
            f"verdicts at size {view.size} and {view.tokens} tokens",
            *_what_was_learned(losses, view),
            *_on_the_plateau(table, view),
        ),
        excluded=table.excluded,
    )


def _what_was_learned(losses: pd.DataFrame, view: View) -> Iterator[str]:
    """Losses of the models of the verdicts: what has learned little says little."""
    rows = losses[(losses["size"] == view.size) & (losses["train_tokens"] == view.tokens)]
    for arm, terms in rows.groupby("arm", sort=True):
        said = []
        for term in terms.to_dict("records"):
            words = f"{term['term']} {term['nats_per_target']:.3f} nats per target"
            if pd.notna(term.get("unigram_nats")):
                words += f" (token frequencies alone {term['unigram_nats']:.3f})"
            if pd.notna(term.get("accuracy")):
                words += f", accuracy {term['accuracy']:.3f} (chance 0.5)"
            said.append(words)
        yield f"{arm} reached {'; '.join(said)}, mean of {int(terms['seeds'].max())} seeds"


def _on_the_plateau(table: QuestionTable, view: View) -> list[str]:
    """By bits per byte: the MLM loss of BERT's corruption falls below that of letter frequencies
    by copying the tokens that are shown, without any context."""
    if all(run[LOSS] is None for run in table.runs.values()):
        return []
    runs = runs_frame(table)
    return plateau_notes(runs[(runs["size"] == view.size) & (runs["train_tokens"] == view.tokens)])
