"""Question 4: why was next-sentence prediction found useless?

Arms that change one thing at a time (MLM, the format of pairs, a loss on them, the kind of wrong
pairs, no MLM), at equal tokens and lengths. Each claim is a number over seeds: how far the task is
word overlap or topic, what it does to MLM, what of it MLM has learned already, and whether one
task on pairs teaches another.
"""

from __future__ import annotations

from analysis.questions.answer import Answer
from analysis.questions.pair_effects import effects_on_mlm
from analysis.questions.pair_tables import accuracy_table, gradient_table, loss_table
from analysis.questions.pair_verdicts import pair_verdicts
from analysis.questions.pair_view import pair_study
from analysis.questions.q4_figures import figures
from analysis.questions.table import QuestionTable

_NOTES = (
    "bits per byte are of windows of text, which models that are trained on pairs never see: what "
    "`mlm` has ahead of the others there is the format's, and the losses on the same pairs (table "
    "q4_losses) say what the second task does to MLM",
    "published, ALBERT table 5: trained on NSP, accuracy 90.5 on NSP and 52.0 on SOP; trained on "
    "SOP, 78.9 and 86.5",
    "published, RoBERTa table 2, SQuAD 1.1 F1: segment pairs with NSP 90.4, full sentences without "
    "90.4, document sentences without 90.6; SpanBERT table 7, GLUE: 83.4 with NSP, 83.8 without",
)


def answer(table: QuestionTable) -> Answer:
    """The verdicts of one study, on one corpus.

    Raises:
        AnalysisError: there is no evaluation by `next_sentence`, or the runs read several corpora.
    """
    study = pair_study(table)
    accuracies, losses = accuracy_table(study), loss_table(study)
    return Answer(
        question="Why was next-sentence prediction found useless?",
        verdicts=(*pair_verdicts(study), *effects_on_mlm(study)),
        tables={
            "q4_accuracy": accuracies,
            "q4_losses": losses,
            "q4_gradients": gradient_table(study),
        },
        figures=figures(accuracies, losses),
        notes=_NOTES,
        excluded=table.excluded,
    )
